"""June's parts as processes of their own, told by settings alone.

Promises: a part that was started is stopped with the test; `stop` asks by SIGTERM and demands exit 0 within the ten
seconds that the contract gives it. What a part said is shown when it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from deploy.servers import free_port
from tests.support.preloaded import Forked

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 60
DRAINED_WITHIN_S = 10


class Process(Protocol):
    """What is asked of a process: of `subprocess.Popen`, or of one that was forked."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def send_signal(self, number: signal.Signals, /) -> None: ...


@dataclass(kw_only=True)
class Part:
    """One process. Signals go to it alone."""

    name: str
    process: Process
    admin_port: int
    log: Path

    @property
    def said(self) -> str:
        """The last of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    async def ready(self, *, status: int = 200, within_s: float = READY_WITHIN_S) -> str:
        """Wait for this answer of `/readyz`: its body."""
        url = f"http://127.0.0.1:{self.admin_port}/readyz"
        seen: object = "nothing"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
                while self.process.poll() is None:
                    try:
                        async with session.get(url) as answer:
                            seen = answer.status
                            if answer.status == status:
                                return await answer.text()
                    except aiohttp.ClientError as error:
                        seen = error
                    await asyncio.sleep(0.02)
        raise AssertionError(f"{self.name}: /readyz is not {status} but {seen}\n{self.said}")

    def kill(self) -> None:
        """As a crash. Again is harmless."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(DRAINED_WITHIN_S)

    def pause(self) -> None:
        """It stands still; its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it stood."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM: it drains and exits 0 within ten seconds. One that has ended already must have exited 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self.process.wait, DRAINED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not drain in time\n{self.said}") from None
        assert code == 0, f"{self.name} exited {code}\n{self.said}"


@dataclass(kw_only=True)
class Parts:
    """Starts parts that share one installation's settings, each with an admin port and a log of its own.

    `from_nothing`: each by `python -m`, instead of forked from a process that has imported them.
    """

    env: Mapping[str, str]
    directory: Path
    from_nothing: bool = False
    running: list[Part] = field(default_factory=list)

    async def start(self, name: str, *, ready: bool = True, **settings: str) -> Part:
        """`python -m name`; ready, unless it is not to be waited for."""
        part = self._spawn(name, settings)
        self.running.append(part)
        if ready:
            await part.ready()
        return part

    def _spawn(self, name: str, settings: Mapping[str, str]) -> Part:
        admin_port = free_port()
        log = self.directory / f"{name}-{len(self.running)}.log"
        env = without_ours(os.environ) | {**self.env, "JUNE_ADMIN_PORT": str(admin_port), **settings}
        process = (
            from_nothing(name, env, log) if self.from_nothing else Forked(name, env=env, cwd=ROOT, log=log)
        )
        return Part(name=name, process=process, admin_port=admin_port, log=log)

    async def stop(self) -> None:
        """All that still run, side by side; each must drain. None is left behind, whatever fails."""
        alive = [part for part in self.running if part.process.poll() is None]
        for part in alive:
            part.resume()
        results = await asyncio.gather(*(part.stop() for part in alive), return_exceptions=True)
        self.kill()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def kill(self) -> None:
        """All of them, at once."""
        for part in self.running:
            part.kill()


@contextlib.contextmanager
def without_livekit(amqp_url: str, directory: Path) -> Iterator[Parts]:
    """Parts of an installation whose LiveKit is not there, killed at the end of the block."""
    env = {
        "JUNE_AMQP_URL": amqp_url,
        "JUNE_DATABASE_URL": f"sqlite:///{directory / 'june.db'}",
        "LIVEKIT_WS_URL": f"ws://127.0.0.1:{free_port()}",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret-of-thirty-two-characters-or-more",
        "JUNE_API_DEV": "true",
        "JUNE_INGRESS_PORT": str(free_port()),
        "JUNE_API_PORT": str(free_port()),
        "JUNE_SPOOL_DIR": str(directory / "spool"),
    }
    parts = Parts(env=env, directory=directory, from_nothing=True)
    try:
        yield parts
    finally:
        parts.kill()


def from_nothing(name: str, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """`python -m name`."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", name],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def without_ours(env: Mapping[str, str]) -> dict[str, str]:
    """An environment that no setting of June's leaks in from."""
    return {name: value for name, value in env.items() if not name.startswith(("JUNE_", "LIVEKIT_"))}
