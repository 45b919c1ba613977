"""June's parts forked from a process that has imported them: what their imports cost is paid once, not with each start.

Promises: each is a process of its own with the environment, the directory and the log that it is given, and runs the
part's `__main__` as `python -m` does. It is ended when the one that started it leaves.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path

PARTS = ("worker", "webhook_ingress", "session_api")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([f"{part}.__main__" for part in PARTS])
_ONE_AT_A_TIME = threading.Lock()
"""An exit code can be read once, and every start looks for those of all others."""


class Forked:
    """A part that runs; used as a `subprocess.Popen` is."""

    def __init__(self, part: str, *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._part = part
        self._process = _FORKS.Process(target=_be, args=(part, dict(env), cwd, log), daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; `None` while it runs."""
        with _ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._part, timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _be(part: str, env: Mapping[str, str], cwd: Path, log: Path) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    _attach(0, os.devnull, os.O_RDONLY)
    _attach(1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(1, 2)
    del sys.modules[f"{part}.__main__"]
    runpy.run_module(part, run_name="__main__", alter_sys=True)


def _attach(number: int, path: str | Path, flags: int) -> None:
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, number)
    os.close(opened)
