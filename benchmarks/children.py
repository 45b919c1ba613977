"""Processes of a run: what is measured, and what makes the load. Linux only.

Promises: none outlives this process, however it ends; what a child says goes to a file and never to our terminal; every
wait has a deadline. Raises `BenchFailed` with the end of the child's log.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_START_WITHIN_S: Final = 60.0
_STOP_WITHIN_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.01
_TAIL_LINES: Final = 15
_PR_SET_PDEATHSIG: Final = 1
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class BenchFailed(Exception):
    """What kept a benchmark from being made. Not a target that was missed."""


class Child:
    """`python -m MODULE ARGUMENTS`, for as long as it is wanted. Its log is `<folder>/<name>.log`."""

    def __init__(
        self, name: str, module: str, *arguments: object, folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                env=environment(env or {}),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run, which ends its children
                preexec_fn=_die_with_the_run,  # noqa: PLW1509 - this process has one thread
            )

    def wait_for(self, text: str) -> None:
        """Return when its log has `text`."""
        self.wait_until(lambda: text in self.log.read_text(errors="replace"), text)

    def wait_until(
        self,
        condition: Callable[[], bool],
        what: str,
        *,
        within_s: float = _START_WITHIN_S,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        """Poll until `condition()` is true; it must run until then."""
        deadline = time.monotonic() + within_s
        while not condition():
            if self._process.poll() is not None:
                raise self._failure(f"ended with {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"not within {within_s:.0f} s: {what}")
            time.sleep(look_every_s)

    def pause(self) -> None:
        """It stands still; its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a pause."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """In order where it can, else not. Twice is as good as once."""
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def result(self, within: timedelta) -> dict[str, Any]:
        """Wait for its end: the last line of its output, as JSON."""
        try:
            code = self._process.wait(within.total_seconds())
        except subprocess.TimeoutExpired:
            self.stop()
            raise self._failure(f"took more than {within.total_seconds():.0f} s") from None
        if code != 0:
            raise self._failure(f"ended with {code}")
        report: dict[str, Any] = json.loads(self.log.read_text().splitlines()[-1])
        return report

    def cpu_s(self) -> float:
        """CPU time that it has used so far, in all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def resident_mb(self) -> float:
        """Its resident memory, in millions of bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        (line,) = (line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def _failure(self, what: str) -> BenchFailed:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return BenchFailed("\n  ".join((f"{self.name}: {what}; its log ends:", *lines)))


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without settings of June, which are meant for another June; and `more`."""
    ours = ("JUNE_", "LIVEKIT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(more)


def _die_with_the_run() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
