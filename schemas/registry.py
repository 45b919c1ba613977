"""Every message type that there is: its model, which way it goes, and the exchange that carries it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from schemas import commands, replies, topology
from schemas.envelope import Envelope
from schemas.errors import TypeUnknown
from schemas.events import EVENT_MESSAGES
from schemas.model import Message, read_data
from schemas.pipeline import PIPELINE_MESSAGES
from schemas.reports import REPORTS, Report

_Typed = type[commands.Command] | type[Message] | type[Report]


class Direction(StrEnum):
    """Which way a message goes: commands and reports into June, all else out of it."""

    COMMAND = "command"
    REPLY = "reply"
    EVENT = "event"
    PIPELINE = "pipeline"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One type. `exchange` is empty for replies: the default exchange leads to the sender's own queue."""

    name: str
    models: tuple[type[BaseModel], ...]
    direction: Direction
    exchange: str


def _entries(models: Iterable[_Typed], direction: Direction, exchange: str) -> list[Entry]:
    return [
        Entry(name=model.TYPE, models=(model,), direction=direction, exchange=exchange) for model in models
    ]


_ENTRIES = (
    *_entries(commands.COMMANDS.values(), Direction.COMMAND, topology.COMMANDS),
    Entry(
        name=replies.ReplyOk.TYPE,
        models=(replies.ReplyOk, replies.ReplyFailed),
        direction=Direction.REPLY,
        exchange="",
    ),
    *_entries(EVENT_MESSAGES, Direction.EVENT, topology.EVENTS),
    *_entries(PIPELINE_MESSAGES, Direction.PIPELINE, topology.PIPELINE),
    *_entries(REPORTS.values(), Direction.REPORT, topology.ROOMS),
)

REGISTRY: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}

RESULTS: Mapping[str, type[replies.Result]] = {
    commands.SessionCreate.TYPE: replies.SessionResult,
    commands.SessionGet.TYPE: replies.SessionResult,
    commands.SessionList.TYPE: replies.SessionListResult,
    commands.SessionDelete.TYPE: replies.SessionDeleted,
    commands.RoomGet.TYPE: replies.RoomResult,
    commands.ParticipantList.TYPE: replies.ParticipantListResult,
    commands.ParticipantRemove.TYPE: replies.ParticipantRemoved,
    commands.GuestTokenCreate.TYPE: replies.GuestTokenResult,
}
"""What `result` holds in the reply to each type of command."""

_PUBLISHED: Mapping[str, type[Message]] = {
    message.TYPE: message for message in (*EVENT_MESSAGES, *PIPELINE_MESSAGES)
}


def parse_published(envelope: Envelope) -> Message:
    """An event or a pipeline message, for who consumes them. Raises TypeUnknown or MessageInvalid."""
    model = _PUBLISHED.get(envelope.type)
    if model is None:
        raise TypeUnknown(envelope.type)
    return read_data(model, envelope.type, envelope.data)
