"""The sample programs in Node and Go, built as their readers would build them, and run as processes.

Promises: a build is in a folder of the test run, from the lock files, by the languages' own tools and caches; a
program that was started ends with its block. Node is installed where it is missing; Go must be there, as
livekit-server needs it.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.servers.install import InstallError, debian_packages
from deploy.servers.progress import Progress
from tests.support.polling import until

EXAMPLES = Path(__file__).parents[2] / "examples"
BUILT_WITHIN_S = 400
DRAINED_WITHIN_S = 10


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    async def taking(self) -> Self:
        """Wait until it takes jobs."""
        await until(self._takes)
        return self

    def _takes(self) -> bool:
        assert self.process.poll() is None, self.said
        return " takes june." in self.said

    async def drain(self) -> None:
        """SIGTERM: it gives back what it has, and exits 0."""
        self.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(self.process.wait, DRAINED_WITHIN_S) == 0, self.said


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The samples of one language."""

    language: str
    folder: Path
    """Where they are built, and where their logs go."""

    def command(self, name: str) -> tuple[str, ...]:
        """What runs the sample `stt`, `ai`, `tts` or `backend`."""
        if self.language == "node":
            return ("node", str(self.folder / f"{name}.mjs"))
        return (str(self.folder / name),)

    @asynccontextmanager
    async def running(self, amqp_url: str, names: Sequence[str]) -> AsyncIterator[list[Program]]:
        """These services, taking jobs, for the time of the block."""
        async with AsyncExitStack() as stack:
            started = [self._start(name, amqp_url) for name in names]
            for one in started:
                stack.callback(_kill, one)
            yield [await one.taking() for one in started]
            for one in started:
                assert one.process.poll() in {None, 0}, one.said

    async def ask(self, amqp_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The sample backend, run to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            (*self.command("backend"), *arguments),
            env={"JUNE_AMQP_URL": amqp_url, "PATH": _path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _start(self, name: str, amqp_url: str) -> Program:
        log = self.folder / f"{name}-{len(list(self.folder.glob('*.log')))}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.command(name),
                env={"JUNE_AMQP_URL": amqp_url, "PATH": _path()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        return Program(name=name, process=process, log=log)


def build(language: str, folder: Path, progress: Progress) -> Programs:
    """The samples of `node` or `go`, ready to run from this folder."""
    source = EXAMPLES / language
    if language == "node":
        debian_packages(("nodejs", "npm"), lambda: _found("npm"), progress)
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        run(("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"), folder)
    else:
        run((go(), "vet", "./..."), source)
        run((go(), "build", "-mod=readonly", "-o", f"{folder}/", "./..."), source)
    return Programs(language=language, folder=folder)


def go() -> str:
    """Where it is; raises `InstallError` where it is not."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise InstallError("what is written in Go needs Go 1.22 or later: install it")
    return found


def run(command: tuple[str, ...], folder: Path) -> None:
    """Part of a build; it must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILT_WITHIN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _found(name: str) -> Path | None:
    path = shutil.which(name)
    return Path(path) if path else None


def _path() -> str:
    return str(Path(shutil.which("node") or "/usr/bin/node").parent) + ":/usr/bin:/bin"


def _kill(program: Program) -> None:
    if program.process.poll() is None:
        program.process.kill()
    program.process.wait(DRAINED_WITHIN_S)
