"""Clients in other languages, which know contract.md alone: each creates a session, follows its events, takes the STT
job of whoever speaks, reports words, and is told to stop.

They are built with the ordinary clients of their languages' registries, from locked versions, into the cache.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.servers import Progress, install
from tests.e2e.consumers import BUILT_WITHIN_S, go, run
from tests.e2e.installation import Installation

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCES = Path(__file__).parent / "clients"
RUN_WITHIN_S = 90

Command = tuple[str, ...]


def node_client(progress: Progress) -> Command:
    """The Node client with its packages, as its lock has them."""
    packages = ("nodejs", "npm")
    node = install.debian_packages(packages, lambda: _which("node", needs="npm"), progress)
    with _cached("node", "package.json", "package-lock.json", "client.js") as (folder, fresh):
        if fresh:
            run(("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), folder)
    return str(node), str(folder / "client.js")


def go_client(progress: Progress) -> Command:
    """The Go client, built from the modules that its sum file names."""
    with _cached("go", "go.mod", "go.sum", "main.go") as (folder, fresh):
        if fresh:
            run((go(), "build", "-mod=readonly", "-o", "client", "."), folder)
    return (str(folder / "client"),)


@pytest.mark.timeout(BUILT_WITHIN_S + RUN_WITHIN_S)
@pytest.mark.parametrize("build", [node_client, go_client], ids=["node", "go"])
async def test_a_client_in_another_language_needs_the_contract_alone(
    june: Installation, progress: Progress, build: Callable[[Progress], Command]
) -> None:
    """From its first command to the end of its session everything is as the contract says; it checks that itself."""
    command = await asyncio.to_thread(build, progress)
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "AMQP_URL": june.amqp_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            steps = [step["step"] async for step in _steps(june, process)]
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert steps == ["created", "heard", "done"]


async def _steps(june: Installation, process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    """What the client says, and what its person does then: joins by the token and speaks; leaves."""
    assert process.stdout
    room_name = identity = ""
    async for line in process.stdout:
        step = json.loads(line)
        match step["step"]:
            case "created":
                assert step["url"] == "wss://livekit.example.org"
                room_name = step["room_name"]
                june.livekit.join_by_token(step["token"])
                (identity,) = june.livekit.identities(room_name)
                june.livekit.publish(room_name, identity)
            case "heard":
                june.livekit.leave(room_name, identity)
        yield step


@contextmanager
def _cached(name: str, *sources: str) -> Iterator[tuple[Path, bool]]:
    """A folder with these sources, and whether it is still to be made ready; the same sources share it."""
    contents = {source: (SOURCES / name / source).read_bytes() for source in sources}
    digest = hashlib.sha256(b"\0".join(contents.values())).hexdigest()[:16]
    folder = install.cache_dir() / "clients" / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / "ready"
        fresh = not ready.exists()
        for source, content in contents.items():
            (folder / source).write_bytes(content)
        yield folder, fresh
        ready.touch()


def _which(name: str, *, needs: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found and shutil.which(needs) else None
