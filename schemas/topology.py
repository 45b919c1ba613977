"""The AMQP topology as data: exchanges, queues, their arguments and bindings, and the partition of a room.

Every exchange is a durable topic exchange, every queue is durable. Each part declares all of it: whoever
starts first makes it, and the others find it as they would have made it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zlib import crc32

from schemas.pipeline import AiTurn, ReportTo, SttStart, TtsSpeak

COMMANDS = "june.commands"
ROOMS = "june.rooms.v1"
EVENTS = "june.events"
PIPELINE = "june.pipeline"
DEAD = "june.dead"

COMMANDS_QUEUE = "june.commands.v1"
COMMANDS_RETRY_QUEUE = "june.commands.retry.v1"
STT_JOBS_QUEUE = "june.stt.jobs.v1"
AI_JOBS_QUEUE = "june.ai.jobs.v1"
TTS_JOBS_QUEUE = "june.tts.jobs.v1"
DEAD_QUEUE = "june.dead.v1"
EVENTS_LOG = "june.events.log"
PIPELINE_LOG = "june.pipeline.log"

PARTITIONS = 16
COMMAND_RETRY_MS = 5000
ROUTING_KEY_MAX_BYTES = 255


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: Literal["topic"] = "topic"


@dataclass(frozen=True, slots=True)
class Binding:
    """What of an exchange a queue gets."""

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable queue. `arguments` are complete: `x-queue-type` is among them."""

    name: str
    kind: Literal["quorum", "stream"]
    arguments: Mapping[str, str | int | bool] = field(hash=False)
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Exchanges first, then queues with their bindings: an order in which all can be declared."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]


def partition_of(room_name: str) -> int:
    """The partition of a room: stable over versions and restarts. Any string has one, the empty one too."""
    return crc32(room_name.encode("utf-8", "surrogatepass")) % PARTITIONS


def partition_label(partition: int) -> str:
    """`p07`: the first word of the routing keys of a partition."""
    return f"p{partition:02d}"


def partition_queue(partition: int) -> str:
    """The queue that holds everything about the rooms of one partition, in order."""
    return f"{ROOMS}.{partition_label(partition)}"


def room_event_key(room_name: str, event: str) -> str:
    """The routing key of a webhook. An event's name is cut at AMQP's 255 bytes; the body has all of it."""
    key = f"{partition_label(partition_of(room_name))}.{event}".encode("utf-8", "replace")
    return key[:ROUTING_KEY_MAX_BYTES].decode("utf-8", "ignore")


def report_to(room_name: str) -> ReportTo:
    """Where the reports on a job of this room go: into the room's own partition."""
    return ReportTo(exchange=ROOMS, routing_key=room_event_key(room_name, "report"))


def webhook_headers(room_name: str, received_at: datetime) -> dict[str, str | int]:
    """The headers of a published webhook; `received_at` in epoch milliseconds."""
    return {"room": room_name, "received_at": round(received_at.timestamp() * 1000)}


# At-least-once dead-lettering needs all three; with one missing it is silently at-most-once.
_DEAD_LETTERED: Mapping[str, str | int | bool] = {
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
# Poison is dead-lettered by whoever reads it, with a reason; the limit only ends a crash loop.
_CRASH_LOOP_LIMIT = 100
_JOB_DELIVERY_LIMIT = 20
# The last resort must not lose what is looked at often, and "unlimited" means "once" to RabbitMQ 3.10.
_DEAD_DELIVERY_LIMIT = 1_000_000
_LOG_AGE = "7D"


def _quorum(
    name: str, *bindings: Binding, delivery_limit: int, more: Mapping[str, str | int | bool] = {}
) -> Queue:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": delivery_limit, **more}
    return Queue(name=name, kind="quorum", arguments=arguments, bindings=bindings)


def _partition(number: int) -> Queue:
    return _quorum(
        partition_queue(number),
        Binding(ROOMS, f"{partition_label(number)}.#"),
        delivery_limit=_CRASH_LOOP_LIMIT,
        more={"x-single-active-consumer": True, **_DEAD_LETTERED},
    )


def _jobs(name: str, job_type: str) -> Queue:
    # No dead-letter exchange: a job that expired is dropped, and its lease brings the next attempt.
    return _quorum(name, Binding(PIPELINE, job_type), delivery_limit=_JOB_DELIVERY_LIMIT)


def _log(name: str, exchange: str) -> Queue:
    arguments = {"x-queue-type": "stream", "x-max-age": _LOG_AGE}
    return Queue(name=name, kind="stream", arguments=arguments, bindings=(Binding(exchange, "#"),))


_COMMAND_QUEUES = (
    # Bound to everything, so that a type that nobody knows is answered, too.
    _quorum(COMMANDS_QUEUE, Binding(COMMANDS, "#"), delivery_limit=_CRASH_LOOP_LIMIT, more=_DEAD_LETTERED),
    # Published to by name: holds a command that nobody waits for, then gives it back.
    _quorum(
        COMMANDS_RETRY_QUEUE,
        delivery_limit=_CRASH_LOOP_LIMIT,
        more={**_DEAD_LETTERED, "x-dead-letter-exchange": COMMANDS, "x-message-ttl": COMMAND_RETRY_MS},
    ),
)

TOPOLOGY = Topology(
    exchanges=tuple(Exchange(name) for name in (COMMANDS, ROOMS, EVENTS, PIPELINE, DEAD)),
    queues=(
        *_COMMAND_QUEUES,
        *(_partition(number) for number in range(PARTITIONS)),
        _jobs(STT_JOBS_QUEUE, SttStart.TYPE),
        _jobs(AI_JOBS_QUEUE, AiTurn.TYPE),
        _jobs(TTS_JOBS_QUEUE, TtsSpeak.TYPE),
        _quorum(DEAD_QUEUE, Binding(DEAD, "#"), delivery_limit=_DEAD_DELIVERY_LIMIT),
        _log(EVENTS_LOG, EVENTS),
        _log(PIPELINE_LOG, PIPELINE),
    ),
)
