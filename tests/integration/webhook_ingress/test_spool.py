"""The ingress without its broker: cut off, hanging, killed, on a full disk, and back again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.topology import partition_of, partition_queue
from tests.integration.webhook_ingress.process import ROOT, Ingress, event, running, taken
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy
from tests.unit.webhook_ingress.tokens import KEY, SECRET

ROOMS = [f"room-{number}" for number in range(6)]
NOWHERE = "amqp://guest:guest@127.0.0.1:1/"
SAFE = 200


class Sender:
    """LiveKit's side: numbered events of each room, the next one only after the last was answered with 200."""

    def __init__(self) -> None:
        self.safe: dict[str, list[str]] = {room: [] for room in ROOMS}
        self.slowest_s = 0.0
        self._number = 0

    @property
    def promised(self) -> int:
        """How many were answered with 200."""
        return sum(map(len, self.safe.values()))

    async def send(self, ingress: Ingress, count: int) -> None:
        """So many for each room, the rooms side by side; each must be safe."""
        async with asyncio.TaskGroup() as group:
            for room in ROOMS:
                group.create_task(self._send(ingress, room, count))

    async def send_until_it_dies(self, ingress: Ingress) -> None:
        """For as long as there are answers."""
        await asyncio.gather(*(self._send(ingress, room, 10_000) for room in ROOMS), return_exceptions=True)

    async def _send(self, ingress: Ingress, room: str, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            self._number += 1
            name = f"EV_{self._number}"
            begun_s = loop.time()
            status, _ = await ingress.post(event(self._number, room={"name": room}))
            assert status == SAFE
            self.slowest_s = max(self.slowest_s, loop.time() - begun_s)
            self.safe[room].append(name)


async def arrived(amqp_url: str) -> dict[str, list[str]]:
    """The ids that came for each room, first copies only, in order."""
    found: dict[str, list[str]] = {room: [] for room in ROOMS}
    for queue in {partition_queue(partition_of(room)) for room in ROOMS}:
        for message in await taken(amqp_url, queue):
            room = json.loads(message.body)["room"]["name"]
            found.setdefault(room, []).append(message.message_id or "")
    return {room: list(dict.fromkeys(ids)) for room, ids in found.items()}


async def has_arrived(amqp_url: str, sender: Sender) -> None:
    """Everything that was promised is there, in order; nothing else need be."""
    found = await arrived(amqp_url)
    for room, safe in sender.safe.items():
        promised = set(safe)
        assert [name for name in found[room] if name in promised] == safe


@asynccontextmanager
async def behind_proxy(amqp_url: str, folder: Path) -> AsyncIterator[tuple[TcpProxy, Ingress, Sender]]:
    """An ingress that is connected, and has sent something."""
    async with TcpProxy.before(amqp_url) as proxy, running(proxy.url(amqp_url), folder) as ingress:
        await ingress.connected()
        sender = Sender()
        await sender.send(ingress, 3)
        yield proxy, ingress, sender


async def test_a_broker_that_hangs_delays_nobody_and_loses_nothing(amqp_url: str, tmp_path: Path) -> None:
    """Ready and 200 all the while; when it goes on, each room's events are there in order, newer ones behind."""
    async with behind_proxy(amqp_url, tmp_path) as (proxy, ingress, sender):
        proxy.hang()
        await sender.send(ingress, 20)
        assert await ingress.readiness() == 200
        assert await ingress.figure("june_ingress_spool_records") == 20 * len(ROOMS)
        assert await ingress.figure("june_ingress_spool_bytes") > 0
        assert await ingress.figure("june_ingress_spool_oldest_seconds") > 0
        proxy.go_on()
        await sender.send(ingress, 20)
        await ingress.emptied()
        await sender.send(ingress, 3)
        await has_arrived(amqp_url, sender)
        assert sender.slowest_s < 2


async def test_a_broker_that_is_lost_and_comes_back(amqp_url: str, tmp_path: Path) -> None:
    """Refused connections, again and again, with events at every moment: in order, and nothing lost."""
    async with behind_proxy(amqp_url, tmp_path) as (proxy, ingress, sender):
        for _ in range(3):
            sending = asyncio.create_task(sender.send(ingress, 40))
            await proxy.refuse()
            await sender.send(ingress, 10)
            await proxy.accept()
            await proxy.cut()
            await sending
        await ingress.emptied()
        await has_arrived(amqp_url, sender)


async def test_events_of_the_same_moment_move_to_the_spool_together(amqp_url: str, tmp_path: Path) -> None:
    """What was on its way when the broker hung is answered by the disk, within one time limit for all."""
    async with behind_proxy(amqp_url, tmp_path) as (proxy, ingress, _):
        proxy.hang()
        async with asyncio.timeout(3):
            answers = await asyncio.gather(*(ingress.post(event(10_000 + n)) for n in range(100)))
        assert {status for status, _ in answers} == {SAFE}
        assert ingress.said().count("spool.begun") == 1


@pytest.mark.slow
async def test_kill_9_loses_nothing_that_was_answered_with_200(amqp_url: str, tmp_path: Path) -> None:
    """Killed in the middle of writing and of delivering, with the broker away and back: all there, in order."""
    sender = Sender()
    spool = tmp_path / "spool"
    for round_ in range(6):
        url = amqp_url if round_ % 3 == 2 else NOWHERE
        async with running(url, tmp_path, spool=spool) as ingress:
            sending = asyncio.create_task(sender.send_until_it_dies(ingress))
            promised = sender.promised + 10 + 7 * round_
            await until(lambda promised=promised: sender.promised >= promised)  # type: ignore[misc]
            await ingress.kill()
            await sending
    async with running(amqp_url, tmp_path, spool=spool) as ingress:
        await sender.send(ingress, 2)
        await ingress.emptied()
    await has_arrived(amqp_url, sender)


async def test_a_restart_without_a_broker_keeps_what_is_there(amqp_url: str, tmp_path: Path) -> None:
    """A stop in order, a start with the broker still away, then one with it."""
    sender = Sender()
    for _ in range(2):
        async with running(NOWHERE, tmp_path) as ingress:
            await sender.send(ingress, 5)
            ingress.process.send_signal(signal.SIGTERM)
            assert await ingress.ended() == 0
    async with running(amqp_url, tmp_path) as ingress:
        assert '"messages":60' in ingress.said()
        await ingress.emptied()
    await has_arrived(amqp_url, sender)


@pytest.mark.slow
async def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It says which folder and which process, exits with 1, and the first goes on."""
    async with running(NOWHERE, tmp_path) as ingress:
        env = {
            **os.environ,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "JUNE_SPOOL_DIR": str(tmp_path / "spool"),
            "JUNE_INGRESS_PORT": "0",
            "JUNE_ADMIN_PORT": "0",
        }
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "webhook_ingress",
            cwd=ROOT,
            env=env,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                _, said = await second.communicate()
        finally:
            if second.returncode is None:
                second.kill()
        assert second.returncode == 1
        assert f"another process has it (pid {ingress.process.pid})" in said.decode()
        assert (await ingress.post(event(1)))[0] == SAFE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mounting, check=False, timeout=20, capture_output=True).returncode != 0:
        pytest.skip("may not mount here; the unit tests have a disk that is full")
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=20)


async def test_a_full_disk_is_503_and_not_ready(amqp_url: str, tmp_path: Path, small_disk: Path) -> None:
    """What was promised before is delivered by the next process, and then there is room again."""
    spool = small_disk / "spool"
    sender = Sender()
    async with running(NOWHERE, tmp_path, spool=spool) as ingress:
        with pytest.raises(ExceptionGroup):
            await sender.send(ingress, 1000)
        status, headers = await ingress.post(event(0, padding="x" * 5000))
        assert (status, headers["Retry-After"]) == (503, "7")
        assert await ingress.readiness() == 503
        await ingress.kill()
    async with running(amqp_url, tmp_path, spool=spool) as ingress:
        await ingress.emptied()
        await sender.send(ingress, 2)
        assert await ingress.readiness() == 200
    await has_arrived(amqp_url, sender)
