"""The life of a process, seen from outside."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from runtime.tasks import SideTaskDied, SideTasks

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow

PROGRAM = """
import asyncio, sys, time
from datetime import timedelta
from runtime import process
from runtime.settings import LogSettings
from runtime.tasks import SideTasks

async def polite(settings, stop):
    print("up", flush=True)
    await stop.wait()
    print("drained", flush=True)

async def stubborn(settings, stop):
    print("up", flush=True)
    await asyncio.Event().wait()

async def failing(settings, stop):
    async def side():
        raise RuntimeError("the side task is tired")
    async with SideTasks() as tasks:
        tasks.start("watchdog", side())
        await stop.wait()

async def blocked(settings, stop):
    print("up", flush=True)
    await stop.wait()
    time.sleep(60)

if len(sys.argv) > 2:
    process.run.__defaults__ = (timedelta(seconds=float(sys.argv[2])),)
    process._EXIT_LIMIT = timedelta(seconds=float(sys.argv[2]) + 0.5)
process.start("test", LogSettings, globals()[sys.argv[1]])
"""


def program(*args: str, **env: str) -> "subprocess.Popen[str]":
    """The program above, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_up(process: "subprocess.Popen[str]") -> None:
    """Wait for the first line that it prints."""
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_exits_0(number: signal.Signals) -> None:
    """The main work sees the stop, finishes, and the exit code is 0."""
    process = program("polite")
    until_up(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "drained\n"), err


@pytest.mark.parametrize("work", ["stubborn", "blocked"])
def test_a_drain_that_does_not_end_exits_0_at_its_limit(work: str) -> None:
    """Work that never ends is given up, even when it blocks the event loop."""
    process = program(work, "0.3")
    until_up(process)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - begun < 10


def test_the_second_signal_ends_it_at_once() -> None:
    """It does not wait for the drain, and the exit code says which signal."""
    process = program("stubborn")
    until_up(process)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert any("process.stopping" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGINT


def test_a_dead_side_task_stops_the_process_with_its_reason() -> None:
    """Exit code 1, and the log names the task and why."""
    process = program("failing")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "watchdog: RuntimeError: the side task is tired" in err


def test_wrong_settings_exit_2_without_a_traceback() -> None:
    """The variable, the rule and an example; nothing else."""
    process = program("polite", JUNE_LOG_LEVEL="loud")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert "JUNE_LOG_LEVEL: must be one of" in err
    assert "Traceback" not in err


async def test_leaving_the_block_cancels_side_tasks() -> None:
    """They are over when the block is, and that is no error."""
    cancelled: list[str] = []

    async def side() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("side")
            raise

    async with SideTasks() as tasks:
        tasks.start("side", side())
        await asyncio.sleep(0)
    assert cancelled == ["side"]


async def test_a_side_task_that_ends_or_leaks_a_cancellation_is_dead() -> None:
    """Neither a return nor a bare CancelledError from inside goes unnoticed."""

    async def ends() -> None:
        await asyncio.sleep(0)

    async def leaks() -> None:
        raise asyncio.CancelledError

    async def beside(work: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(5), SideTasks() as tasks:
            tasks.start("x", work)
            await asyncio.Event().wait()

    for work, reason in ((ends(), "x: ended"), (leaks(), "x: was cancelled from inside")):
        with pytest.raises(ExceptionGroup) as caught:
            await beside(work)
        (error,) = caught.value.exceptions
        assert isinstance(error, SideTaskDied)
        assert str(error) == reason
