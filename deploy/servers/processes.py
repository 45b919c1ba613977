"""Native servers: processes of our own that end with the run, however it ends (see keeper.py).

A server keeps its ports, its command and its data when it is killed and started again. Starting waits until
the server answers, up to `START_WITHIN`, and says what its log says when it does not.
"""

import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from deploy.servers.keeper import descendants, send

T = TypeVar("T")

START_WITHIN = timedelta(seconds=120)
LOOK_EVERY_S = 0.05
LOG_TAIL_LINES = 25
PORT_TAKEN = ("eaddrinuse", "address already in use")
TRIES_WITH_OTHER_PORTS = 4


class ServerError(RuntimeError):
    """A server did not start, or did not end."""


class PortTakenError(ServerError):
    """A server ended because somebody else has its port."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one server is started. `directory` holds its data and its log, and is removed at the end."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path
    user: str | None = None
    end_signal: signal.Signals = signal.SIGKILL
    """For the end of the run, when the data are thrown away."""
    end_within: timedelta = timedelta(seconds=10)
    stop_signal: signal.Signals = signal.SIGTERM
    """For an orderly stop during the run, after which the server may be started again."""
    ready: Callable[[], bool]
    """Whether the server answers now. Must not raise."""

    @property
    def log(self) -> Path:
        return self.directory / "server.log"


class NativeServer:
    """One server process and its keeper."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._keeper: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The server's own process, for its CPU time and memory. Raises ServerError when it does not run."""
        self._running()
        return self._pid

    def start_again(self) -> None:
        """Starts on the same ports and data, and waits until it answers. Raises ServerError."""
        self._launch()
        deadline = time.monotonic() + START_WITHIN.total_seconds()
        while not self._recipe.ready():
            if self._running().poll() is not None:
                raise self._failure("ended while it started")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {START_WITHIN.total_seconds():.0f} s")
            time.sleep(LOOK_EVERY_S)

    def check(self) -> None:
        """Raises ServerError, with the last words of its log, when the server has ended by itself."""
        if self._running().poll() is not None:
            raise self._failure("has ended")

    def kill(self) -> None:
        """SIGKILL, for the server and all it started; returns when they are gone. Data and ports stay its
        own.
        """
        send([self.pid, *descendants(self.pid)], signal.SIGKILL)
        self._gone()

    def stop(self) -> None:
        """An orderly stop; returns when the server is gone. Data and ports stay its own."""
        send([self.pid], self._recipe.stop_signal)
        self._gone()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        send([self.pid, *descendants(self.pid)], signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a pause. Without one it does nothing."""
        send([self.pid, *descendants(self.pid)], signal.SIGCONT)

    def close(self) -> None:
        """Ends the server and removes its data. Twice is as good as once."""
        if self._keeper is not None:
            self._release(self._keeper)
            self._keeper = None
        shutil.rmtree(self._recipe.directory, ignore_errors=True)

    def _launch(self) -> None:
        if self._keeper is not None:
            self._gone()
        recipe = self._recipe
        order = {
            "command": recipe.command,
            "env": {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **recipe.env},
            "directory": str(recipe.directory),
            "log": str(recipe.log),
            "user": recipe.user,
            "parent": os.getpid(),
            "stop_signal": recipe.end_signal,
            "stop_within_s": recipe.end_within.total_seconds(),
        }
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self._pid = int(self._keeper.stdout.readline() or 0)
        if not self._pid:
            raise self._failure("could not be started")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._keeper is None:
            raise ServerError(f"{self._recipe.name} is not running")
        return self._keeper

    def _gone(self) -> None:
        keeper = self._running()
        try:
            keeper.wait(START_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            raise self._failure("did not end") from None
        self._release(keeper)
        self._keeper = None

    @staticmethod
    def _release(keeper: subprocess.Popen[bytes]) -> None:
        for pipe in (keeper.stdin, keeper.stdout):
            if pipe is not None:
                pipe.close()
        keeper.wait(START_WITHIN.total_seconds())

    def _failure(self, what: str) -> ServerError:
        log = self._recipe.log
        said = log.read_text(errors="replace") if log.exists() else ""
        tail = "\n  ".join(said.splitlines()[-LOG_TAIL_LINES:]) or "(nothing)"
        taken = any(sign in said.lower() for sign in PORT_TAKEN)
        return (PortTakenError if taken else ServerError)(
            f"{self._recipe.name} {what}; its log ends:\n  {tail}"
        )


def start(on_free_ports: Callable[[], tuple[Recipe, T]]) -> tuple[T, NativeServer]:
    """A server that answers, and what the recipe's maker says beside it (its address).

    A port that somebody takes in between is no error: other ports are tried.
    """
    for tries_left in reversed(range(TRIES_WITH_OTHER_PORTS)):
        recipe, address = on_free_ports()
        server = NativeServer(recipe)
        try:
            server.start_again()
        except BaseException as error:
            server.close()
            if not (isinstance(error, PortTakenError) and tries_left):
                raise
        else:
            return address, server
    raise AssertionError("the last try returns or raises")


def new_directory(name: str, *, owner: str | None = None) -> Path:
    """A directory of this run alone, under `.june/run` (or JUNE_RUN_DIR), owned by `owner` where one is
    named.

    A user that may not pass through the folders above gets one under the machine's temporary folder.
    """
    unique = f"{name}-{os.getpid()}-{secrets.token_hex(3)}"
    base = Path(os.environ.get("JUNE_RUN_DIR") or Path(__file__).parents[2] / ".june" / "run").resolve()
    if owner is not None and not _open_to_all(base):
        base = Path(tempfile.gettempdir())
    directory = base / unique
    directory.mkdir(parents=True, mode=0o755)
    if owner is not None:
        shutil.chown(directory, owner, owner)
    return directory


def _open_to_all(folder: Path) -> bool:
    return all(p.stat().st_mode & stat.S_IXOTH for p in (folder, *folder.parents) if p.exists())
