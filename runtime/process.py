"""The life of a process: settings, logs, the main work until a signal, and the exit code.

Promises: the first SIGTERM or SIGINT asks the main work to drain, and the process exits 0 within 10 s,
drained or not; a second one ends it at once, with 128 + the signal's number. Settings that are wrong:
the reasons on standard error, exit code 2. The main work or a side task fails: one log line, exit code 1.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import NoReturn, TypeVar

import structlog
import uvloop

from runtime import logs
from runtime.settings import LogSettings, SettingsInvalid, load

log = structlog.get_logger()

DRAIN_LIMIT = timedelta(seconds=8)
"""How long the main work may drain before it is cancelled."""
_EXIT_LIMIT = timedelta(seconds=9.5)
_GARBAGE_OBJECTS = 10_000
"""A few megabytes at most wait for the garbage collector; nearly everything goes without it."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

S = TypeVar("S", bound=LogSettings)
Serve = Callable[[S, asyncio.Event], Awaitable[None]]
"""The main work: runs until the event is set, then drains and returns."""


def start(part: str, settings_class: type[S], serve: Serve[S]) -> NoReturn:
    """Run a part from its settings to its exit. Never returns."""
    try:
        settings = load(settings_class)
    except SettingsInvalid as invalid:
        lines = "".join(f"  {problem}\n" for problem in invalid.problems)
        sys.stderr.write(f"{part} cannot start: its settings are wrong\n{lines}")
        sys.exit(2)
    logs.configure(part, log_format=settings.log_format, level=settings.log_level)
    log.info("process.starting", settings=settings.model_dump())
    sys.exit(run(lambda stop: serve(settings, stop)))


def run(serve: Callable[[asyncio.Event], Awaitable[None]], drain: timedelta = DRAIN_LIMIT) -> int:
    """Run the main work under uvloop until it ends; the exit code."""
    _collect_rarely()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Life(drain).of(serve))


def _collect_rarely() -> None:
    """What is loaded by now stays: it need not be looked through again and again (a twentieth of an event's time)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS, 20, 20)


class _Life:
    """One run of the main work, and what signals do to it."""

    def __init__(self, drain: timedelta) -> None:
        self._drain = drain
        self._stop = asyncio.Event()

    async def of(self, serve: Callable[[asyncio.Event], Awaitable[None]]) -> int:
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(serve(self._stop))
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number, work)
        await asyncio.wait({work})
        return self._exit_code(work)

    def _on_signal(self, number: signal.Signals, work: asyncio.Future[None]) -> None:
        if self._stop.is_set():
            log.warning("process.aborting", signal=number.name)
            _exit_now(128 + number)
        log.info("process.stopping", signal=number.name, drain_limit_s=self._drain.total_seconds())
        self._stop.set()
        asyncio.get_running_loop().call_later(self._drain.total_seconds(), self._give_up, work)
        _exit_later()

    @staticmethod
    def _give_up(work: asyncio.Future[None]) -> None:
        if not work.done():
            log.warning("process.drain_incomplete", meaning="what was not finished is delivered again")
            work.cancel()

    def _exit_code(self, work: asyncio.Future[None]) -> int:
        if work.cancelled():
            if self._stop.is_set():
                return 0
            log.error("process.failed", reasons=["cancelled from inside"])
            return 1
        error = work.exception()
        if error is None:
            log.info("process.stopped")
            return 0
        log.error("process.failed", reasons=list(_reasons(error)), exc_info=error)
        return 1


def _reasons(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _reasons(inner)
    else:
        yield f"{type(error).__name__}: {error}"


def _exit_later() -> None:
    # A thread, because neither a blocked loop nor a thread that does not end may keep the process.
    timer = threading.Timer(_EXIT_LIMIT.total_seconds(), _exit_now, args=(0,))
    timer.daemon = True
    timer.start()


def _exit_now(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)
