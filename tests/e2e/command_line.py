"""`june` run by a test: to its end, or as a process beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.e2e.processes import ROOT, without_ours
from tests.support.command_line import Ran, ran


@dataclass(frozen=True, kw_only=True)
class June:
    """`june` with an installation's settings."""

    env: Mapping[str, str] = field(repr=False)

    async def __call__(self, *arguments: str) -> Ran:
        """Run it to its end, in a thread with a loop of its own: a process for each would take seconds."""
        return await asyncio.to_thread(ran, arguments, env=self.env)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command that is ended with the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "cli", *arguments),
            cwd=ROOT,
            env=without_ours(os.environ) | dict(self.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and all their children with them.
            preexec_fn=_heeds_ctrl_c,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _heeds_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
