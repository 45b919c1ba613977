"""June's parts as child processes: started, looked at by their admin ports, drained.

Promises: what a part says goes to a file of its own, never to the terminal; Ctrl-C reaches this process alone, which
drains them; on Linux none outlives this process, however it ends. Each gets an admin port of its own.
"""

import asyncio
import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import aiohttp

DRAIN_S: Final = 12.0
"""A part is gone within ten seconds of SIGTERM, by the contract."""
FIRST_ADMIN_PORT: Final = 9101
_ANSWER_S: Final = 2.5
_SETTLED_S: Final = 5.0
_TAIL_LINES: Final = 20
_PR_SET_PDEATHSIG: Final = 1


class State(StrEnum):
    """How far a part is. `running`: its admin port is off, so that more is not known."""

    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RUNNING = "running"
    DRAINING = "draining"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is seen of a part at a moment. `why`: what it waits for or works without, or how it ended."""

    state: State
    why: str = ""


@dataclass(kw_only=True)
class Part:
    """`python -m name`, running. Made by `start`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    admin_url: str | None
    began: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    draining: bool = False

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    @property
    def settled(self) -> bool:
        """It was ready once; without an admin port nobody can tell, so: it has had time to be."""
        return self.was_ready or (self.admin_url is None and time.monotonic() - self.began > _SETTLED_S)

    async def status(self, session: aiohttp.ClientSession) -> Status:
        """Ask it. Never raises."""
        if self.ended:
            return Status(state=State.ENDED, why=f"exit code {self.process.returncode}")
        if self.draining:
            return Status(state=State.DRAINING)
        if self.admin_url is None:
            return Status(state=State.RUNNING)
        told = await _told(session, f"{self.admin_url}/readyz")
        why = "; ".join(f"{name}: {reason}" for name, reason in told.reasons.items())
        if told.ready:
            self.was_ready = True
            return Status(state=State.READY, why=why)
        return Status(state=State.NOT_READY if self.was_ready else State.STARTING, why=why)

    def drain(self) -> None:
        """Ask it to finish and end. A second time would cut it off."""
        if not self.draining and not self.ended:
            self.process.send_signal(signal.SIGTERM)
        self.draining = True

    def kill(self) -> None:
        """Now."""
        if not self.ended:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


def names() -> list[str]:
    """The parts that are here, in the order of their start."""
    return [name for name in ("webhook_ingress", "worker", "session_api") if _is_here(name)]


def _is_here(name: str) -> bool:
    try:
        return find_spec(f"{name}.__main__") is not None
    except ModuleNotFoundError:
        return False


def start(name: str, *, env: Mapping[str, str], admin_port: int, folder: Path) -> Part:
    """Start a part. `admin_port` 0: none."""
    log = folder / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - our own parts
            [sys.executable, "-m", name],
            env={**env, "JUNE_ADMIN_PORT": str(admin_port)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=_end_with_the_starter if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread
        )
    host = env.get("JUNE_ADMIN_HOST") or "127.0.0.1"
    url = f"http://{host}:{admin_port}" if admin_port else None
    return Part(name=name, process=process, log=log, admin_url=url)


async def drained(parts: list[Part]) -> bool:
    """Drain all of them, side by side; kill what is too slow. Whether each ended by itself, with 0."""
    for part in parts:
        part.drain()
    deadline = time.monotonic() + DRAIN_S
    while not all(part.ended for part in parts) and time.monotonic() < deadline:  # noqa: ASYNC110 - of the system
        await asyncio.sleep(0.05)
    for part in parts:
        part.kill()
    return all(part.process.returncode == 0 for part in parts)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What `/readyz` says: `reasons` for what is not well, those that a part can do without among them."""

    ready: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)


async def _told(session: aiohttp.ClientSession, url: str) -> _Told:
    """Not ready, for no reason, where nothing answers."""
    try:
        async with asyncio.timeout(_ANSWER_S), session.get(url) as answer:
            body: Any = json.loads(await answer.read())
            ready = answer.status == 200
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return _Told()
    if not isinstance(body, dict):
        return _Told(ready=ready)
    checks = {**body.get("checks", {}), **body.get("info", {})}
    return _Told(ready=ready, reasons={name: reason for name, reason in checks.items() if reason != "ok"})


def _end_with_the_starter() -> None:
    """In the child, before its program starts: it drains when whoever started it is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
