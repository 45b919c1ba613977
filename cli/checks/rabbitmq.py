"""RabbitMQ: version, alarms, topology, consumers, dead letters. Makes nothing that is not there."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TypeAlias

from cli.checks.finding import Finding, bad, ok, skipped, warning
from messaging.connection import Broker
from messaging.counts import QueueCounts, queue_counts
from messaging.failures import PublishError, TopologyMismatch
from messaging.message import Outgoing
from messaging.publisher import Publisher
from messaging.topology import declare, verify
from schemas import topology

LEAST_VERSION = (3, 10)
_PATIENCE = timedelta(seconds=3)
_PROBE = "june.doctor.nowhere"
_START_A_WORKER = "start one: `june up`, or `python -m worker`"
Counts: TypeAlias = Mapping[str, QueueCounts | None]

JOBS = {
    "STT": topology.STT_JOBS_QUEUE,
    "AI": topology.AI_JOBS_QUEUE,
    "TTS": topology.TTS_JOBS_QUEUE,
}


async def rabbitmq(broker: Broker) -> AsyncIterator[Finding]:
    """All that can be asked of a broker that is connected."""
    yield await _version(broker)
    yield await _alarms(broker)
    counts = await queue_counts(broker, [queue.name for queue in topology.TOPOLOGY.queues])
    async for finding in _topology(broker, counts):
        yield finding
    for finding in (*_workers(counts), *_services(counts), *_dead(counts)):
        yield finding


async def _version(broker: Broker) -> Finding:
    server = (await broker.consuming.connection(patience=_PATIENCE)).server
    digits = re.search(r"(\d+)\.(\d+)", server)
    if digits is None or (int(digits[1]), int(digits[2])) >= LEAST_VERSION:
        return ok("RabbitMQ", server or "it does not say its version")
    return bad(
        "RabbitMQ", f"{server} is too old", mend="June needs 3.10 or later; 4 spreads rooms over workers"
    )


async def _alarms(broker: Broker) -> Finding:
    """By messages that no queue takes: a broker with an alarm takes one, says so, and then no more."""
    probe = Outgoing(
        exchange="",
        routing_key=_PROBE,
        body=b"",
        message_id=None,
        type=None,
        content_type=None,
        mandatory=False,
    )
    publisher = Publisher(broker)
    try:
        for _ in range(2):
            await publisher.publish(probe, timeout=_PATIENCE)
    except PublishError as error:
        return _blocked(broker.blocked or str(error))
    return ok("alarms", "it takes messages") if broker.blocked is None else _blocked(broker.blocked)


def _blocked(why: str) -> Finding:
    mend = "free memory or disk on its machine: `rabbitmq-diagnostics alarms`"
    return bad("alarms", f"it takes no messages: {why}", mend=mend)


async def _topology(broker: Broker, counts: Counts) -> AsyncIterator[Finding]:
    if missing := [name for name, found in counts.items() if found is None]:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        yield bad("topology", f"there is no {some}", mend="start any part of June: each makes what it needs")
        return
    if broker.blocked is not None:
        yield skipped("topology", "it answers nothing to whoever would publish, until its alarm is over")
        return
    try:
        await declare(broker, topology.TOPOLOGY)
    except TopologyMismatch as error:
        yield bad(
            "topology",
            str(error),
            mend="delete what is named while it is empty; a part of June makes it anew",
        )
        return
    problems = await verify(broker, topology.TOPOLOGY)
    for problem in problems:
        yield warning("topology", problem, mend="update RabbitMQ: this version does not act on it")
    if not problems:
        yield ok("topology", f"{len(counts)} queues, as they must be")


def _workers(counts: Counts) -> list[Finding]:
    queues = [topology.COMMANDS_QUEUE, *map(topology.partition_queue, range(topology.PARTITIONS))]
    idle = [queue for queue in queues if not _consumers(counts, queue)]
    if len(idle) == len(queues):
        return [bad("workers", "none is running", mend=_START_A_WORKER)]
    if idle:
        mend = "look into the workers' logs for `consumer.cannot_subscribe`"
        return [bad("workers", f"nobody consumes {', '.join(idle)}", mend=mend)]
    waiting = sum(found.ready for queue in queues if (found := counts[queue]) is not None)
    return [ok("workers", f"every partition is held; {waiting} messages wait")]


def _services(counts: Counts) -> list[Finding]:
    return [
        ok(f"{name} services", f"{_consumers(counts, queue)} ready to take jobs")
        if _consumers(counts, queue)
        else warning(
            f"{name} services",
            "none takes jobs: they expire, and are given again",
            mend=f"start one that consumes {queue}; without it there is no {name}",
        )
        for name, queue in JOBS.items()
    ]


def _dead(counts: Counts) -> list[Finding]:
    found = counts[topology.DEAD_QUEUE]
    if found is None:
        return []
    if found.ready:
        return [warning("dead letters", f"there are {found.ready}", mend="`june dead list` says why")]
    return [ok("dead letters", "none")]


def _consumers(counts: Counts, queue: str) -> int:
    found = counts[queue]
    return found.consumers if found else 0
