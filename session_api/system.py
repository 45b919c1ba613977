"""What an operator looks at: queues, partitions, dead letters. Asks the broker, and changes nothing.

Looking into the dead letters holds the oldest of them for a moment, and counts them as delivered once more; their
queue allows a million of that. One look at a time, so that two do not see half each.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

from messaging.browse import browsing
from messaging.connection import Broker
from messaging.counts import QueueCounts, queue_counts
from messaging.dead_letters import told_of
from messaging.failures import BrokerUnavailable
from messaging.message import Incoming
from schemas import topology
from session_api.holders import Holders
from session_api.models import (
    BrokerView,
    DeadLettersView,
    DeadLetterView,
    PartitionsView,
    PartitionView,
    QueueView,
    SystemView,
)

DEAD_LETTERS_SHOWN: Final = 50
_WITHIN: Final = timedelta(seconds=1.5)
_DISTRIBUTION: Final = "june-orchestrator"
_QUEUES: Final = (
    topology.COMMANDS_QUEUE,
    topology.STT_JOBS_QUEUE,
    topology.AI_JOBS_QUEUE,
    topology.TTS_JOBS_QUEUE,
    topology.DEAD_QUEUE,
)


class Look(Protocol):
    """Looks at the broker. All raise BrokerUnavailable."""

    async def broker(self) -> BrokerView:
        """Product, version and alarms."""

    async def counts(self, queues: Sequence[str]) -> dict[str, QueueCounts | None]:
        """Of each queue; None for one that is not there."""

    async def oldest(self, queue: str, at_most: int) -> list[Incoming]:
        """The first messages, which stay where they are."""


class BrokerLook:
    """Looks at a real broker, for 1.5 s at most."""

    def __init__(self, broker: Broker) -> None:
        """Nothing is asked yet."""
        self._broker = broker
        self._looking = asyncio.Lock()

    async def broker(self) -> BrokerView:
        """Product, version and alarms. Raises BrokerUnavailable."""
        connection = await self._broker.consuming.connection(patience=_WITHIN)
        return BrokerView(server=connection.server, blocked=self._broker.blocked)

    async def counts(self, queues: Sequence[str]) -> dict[str, QueueCounts | None]:
        """Of each queue. Raises BrokerUnavailable."""
        try:
            async with asyncio.timeout(_WITHIN.total_seconds()):
                return await queue_counts(self._broker, queues)
        except TimeoutError as error:
            raise BrokerUnavailable("the broker is silent") from error

    async def oldest(self, queue: str, at_most: int) -> list[Incoming]:
        """The first messages of a queue. Raises BrokerUnavailable."""
        try:
            async with (
                asyncio.timeout(_WITHIN.total_seconds()),
                self._looking,
                browsing(self._broker, queue, at_most=at_most) as deliveries,
            ):
                return [delivery.message for delivery in deliveries]
        except TimeoutError as error:
            raise BrokerUnavailable("the broker is silent") from error


class System:
    """Answers `/api/system…`. All raise BrokerUnavailable."""

    def __init__(self, look: Look, holders: Holders, *, lease: timedelta) -> None:
        """Nothing is asked yet. `lease`: for how long the workers give a job."""
        self._look = look
        self._holders = holders
        self._lease = lease

    async def overview(self, *, event_streams: int) -> SystemView:
        """June at a glance."""
        counts = await self._look.counts(_QUEUES)
        commands, stt, ai, tts, dead = (_view(queue, counts[queue]) for queue in _QUEUES)
        return SystemView(
            version=_version(),
            at=datetime.now(UTC),
            broker=await self._look.broker(),
            workers=commands.consumers or 0,
            commands=commands,
            stt=stt,
            ai=ai,
            tts=tts,
            dead_letters=dead,
            job_lease_s=round(self._lease.total_seconds()),
            event_streams=event_streams,
        )

    async def partitions(self) -> PartitionsView:
        """All partitions, in order."""
        queues = [topology.partition_queue(number) for number in range(topology.PARTITIONS)]
        counts = await self._look.counts(queues)
        holders = await self._holders.by_queue()
        views = [_view(queue, counts[queue]) for queue in queues]
        return PartitionsView(
            partitions=tuple(
                PartitionView(
                    partition=topology.partition_label(number),
                    queue=view.name,
                    waiting=view.waiting,
                    consumers=view.consumers,
                    holder=holders.get(view.name),
                )
                for number, view in enumerate(views)
            )
        )

    async def dead_letters(self) -> DeadLettersView:
        """The oldest of them."""
        counts = (await self._look.counts([topology.DEAD_QUEUE]))[topology.DEAD_QUEUE]
        letters = await self._look.oldest(topology.DEAD_QUEUE, DEAD_LETTERS_SHOWN)
        waiting = max(counts.ready if counts else 0, len(letters))
        return DeadLettersView(waiting=waiting, dead_letters=tuple(_letter(letter) for letter in letters))


def _version() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "a checkout, not installed"


def _view(queue: str, counts: QueueCounts | None) -> QueueView:
    if counts is None:
        return QueueView(name=queue, waiting=None, consumers=None)
    return QueueView(name=queue, waiting=counts.ready, consumers=counts.consumers)


def _letter(message: Incoming) -> DeadLetterView:
    headers = told_of(message)

    def text(name: str) -> str:
        value = headers.get(name)
        return value if isinstance(value, str) else ""

    attempts = headers.get("attempts")
    return DeadLetterView(
        message_id=message.message_id or "",
        type=message.type or "",
        reason=text("reason"),
        error=text("error"),
        origin_exchange=text("origin_exchange"),
        origin_routing_key=text("origin_routing_key"),
        attempts=attempts if isinstance(attempts, int) else 0,
        failed_at=_moment(headers.get("failed_at")),
        size_bytes=len(message.body),
    )


def _moment(epoch_ms: object) -> datetime | None:
    """A time that a header tells in epoch milliseconds; None for anything else."""
    if not isinstance(epoch_ms, int) or isinstance(epoch_ms, bool):
        return None
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
