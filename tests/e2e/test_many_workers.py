"""Several workers on one PostgreSQL: who holds which partition, what moves when one goes or comes, and what never does.

On RabbitMQ 4 the partitions are spread as the workers' ranks say; on 3.10 one worker holds all of them and the others
stand by. Order, and that nothing is lost or doubled, is the same on both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from deploy.servers import RabbitMQ, RabbitMQVersion
from deploy.servers.rabbitmq_management import Management
from tests.e2e.client import Client, Inbox
from tests.e2e.installation import JUNE_SENDS, Install, Installation
from tests.e2e.load import Load, under_load
from tests.e2e.processes import Part
from tests.e2e.stories import complete, consistent, once, told
from tests.support.polling import until
from worker.adapters.amqp.ranks import rank

PARTITIONS = range(16)
MOVED_WITHIN_S = 90
HEARTBEAT_S = 4
"""By which alone a worker that stands still is noticed, after two of them or three."""

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
Holders = Mapping[int, str]
"""By partition, the worker that is handed its messages."""


class Partitions:
    """What RabbitMQ says of the partitions' consumers."""

    def __init__(self, server: RabbitMQ, amqp_url: str) -> None:
        url = urlsplit(server.url)
        assert server.management_url is not None
        self._api = Management(server.management_url, url.username or "guest", url.password or "guest")
        self._path = f"consumers/{urlsplit(amqp_url).path.removeprefix('/')}"

    async def holders(self, workers: Sequence[str]) -> dict[int, str]:
        """Who is active, of these workers; a partition whose holder is none of them is left out."""
        consumers = await asyncio.to_thread(self._api.call, "GET", self._path)
        by_rank = {(number, rank(one, number)): one for one in workers for number in PARTITIONS}
        active = [one for one in consumers if one["active"] and "june.rooms.v1.p" in one["queue"]["name"]]
        found = {}
        for one in active:
            number = int(one["queue"]["name"][-2:])
            worker = by_rank.get((number, one["arguments"]["x-priority"]))
            if worker is not None:
                found[number] = worker
        return found

    async def until(self, workers: Sequence[str], as_wanted: Callable[[Holders], bool]) -> Holders:
        """Who holds what among these, once it is as wanted."""
        seen: list[Holders] = []

        async def holds() -> bool:
            seen.append(await self.holders(workers))
            return as_wanted(seen[-1])

        await until(holds, within_s=MOVED_WITHIN_S, what="who should hold the partitions")
        return seen[-1]


async def worker_id(part: Part) -> str:
    """As it says itself when it begins to work."""

    def ready() -> list[str]:
        lines = part.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '"worker.ready"' in line]

    await until(ready)
    said: dict[str, str] = json.loads(ready()[0])
    return said["worker"]


@pytest.fixture
def spreads(rabbitmq_version: RabbitMQVersion) -> bool:
    """Whether this RabbitMQ heeds ranks; else whoever came first holds all."""
    return rabbitmq_version == "4"


@dataclass(frozen=True, kw_only=True)
class Team:
    """Workers by their ids, and how their partitions may lie."""

    partitions: Partitions
    spreads: bool
    parts: dict[str, Part]

    async def settled(self, *absent: str) -> Holders:
        """Who holds what, once it lies as it should with all but these."""
        there = [one for one in self.parts if one not in absent]
        ranked = {number: max(there, key=lambda one: rank(one, number)) for number in PARTITIONS}

        def as_it_should(holders: Holders) -> bool:
            if self.spreads:
                return holders == ranked
            return set(holders) == set(PARTITIONS) and len(set(holders.values())) == 1

        return await self.partitions.until(there, as_it_should)

    async def add(self, part: Part) -> str:
        """One more; its id."""
        name = await worker_id(part)
        self.parts[name] = part
        return name


async def a_team(june: Installation, partitions: Partitions, *, spreads: bool) -> Team:
    """An installation's workers."""
    team = Team(partitions=partitions, spreads=spreads, parts={})
    for part in june.workers:
        await team.add(part)
    return team


async def test_only_what_must_moves(
    rabbitmq_server: RabbitMQ, amqp_url: str, postgres_url: str, install: Install, spreads: bool
) -> None:
    """Of three workers one is killed, then one is added: each partition that another one holds stays where it is, and
    in every room all is told, once and in order."""
    async with (
        install(amqp_url, workers=3, JUNE_DATABASE_URL=postgres_url) as june,
        Client(amqp_url) as client,
    ):
        inbox = await client.subscribe(*JUNE_SENDS)
        team = await a_team(june, Partitions(rabbitmq_server, amqp_url), spreads=spreads)
        at_first = await team.settled()
        async with under_load(june, client) as load:
            await load.more_rooms(5)
            killed = at_first[0]
            team.parts[killed].kill()
            without = await team.settled(killed)
            assert others_of(at_first, killed).items() <= without.items()
            await load.more_rooms(5)
            added = await team.add(await june.parts.start("worker"))
            with_one_more = await team.settled(killed)
            assert others_of(with_one_more, added).items() <= without.items()
            assert (added in with_one_more.values()) is spreads
            await load.more_rooms(5)
        await all_is_told(june, inbox, load)


async def test_a_worker_that_stood_still_among_others(
    rabbitmq_server: RabbitMQ, amqp_url: str, postgres_url: str, install: Install, spreads: bool
) -> None:
    """Others take its partitions over when its heartbeat fails; when it goes on it does no harm to any room, and is a
    worker like the others."""
    async with (
        install(f"{amqp_url}?heartbeat={HEARTBEAT_S}", workers=3, JUNE_DATABASE_URL=postgres_url) as june,
        Client(amqp_url) as client,
    ):
        inbox = await client.subscribe(*JUNE_SENDS)
        team = await a_team(june, Partitions(rabbitmq_server, amqp_url), spreads=spreads)
        paused = (await team.settled())[0]
        async with under_load(june, client) as load:
            await load.more_rooms(4)
            team.parts[paused].pause()
            await team.settled(paused)
            await load.more_rooms(5)
            team.parts[paused].resume()
            await team.parts[paused].ready()
            await team.settled()
            await load.more_rooms(5)
        await all_is_told(june, inbox, load)


def others_of(holders: Holders, one: str) -> dict[int, str]:
    """The partitions that somebody else holds."""
    return {number: who for number, who in holders.items() if who != one}


async def all_is_told(june: Installation, inbox: Inbox, load: Load) -> None:
    """Of every room all, in the order of `sequence` without a gap, each copy with the same bytes."""
    assert len(load.plans) >= 12
    found = await told(june, inbox, *load.plans, within_s=120)
    for name, plan in load.plans.items():
        messages = once(found[name])
        consistent(messages)
        complete(messages, plan, load.voices[name])
        assert [int(one.envelope["sequence"]) for one in messages] == list(range(1, len(messages) + 1))
