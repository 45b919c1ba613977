"""What a LiveKit webhook says, as a fact of the domain.

Promises: pure; reads protobuf's JSON in both spellings (lowerCamelCase, snake_case), where a field at its
default is absent and an enum is a name or a number; takes values that are new for what is safe.
Refuses: an event whose ids are missing or too long, or whose fields are of other types, with the reason.
Logs nothing: bodies hold secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypedDict

from worker.adapters.livekit.words import Named, kind_word, source_word, storable, type_word
from worker.domain.facts import (
    ParticipantJoined,
    ParticipantLeft,
    RoomFact,
    RoomFinished,
    RoomStarted,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.model import ParticipantSid, RoomSid, TrackSid

_MAX_KEY_BYTES = 1024
"""Of what becomes a key in a database. LiveKit's own limit is 256; PostgreSQL indexes 2,700 at most."""

_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


class WebhookInvalid(ValueError):
    """The event cannot be read, now or later. `reason` names the field, and never quotes it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """An event that June has no use for: egress, ingress, agent jobs, and what a later LiveKit may bring."""

    event: str


def read_webhook(payload: Mapping[str, Any], *, received_at: datetime) -> RoomFact | Ignored:
    """The fact in a verified and parsed webhook body.

    `received_at` stands in where LiveKit gave no moment that can be read. Raises `WebhookInvalid`:
    the same body again gives the same.
    """
    event = payload.get("event")
    if not isinstance(event, str) or not event:
        raise WebhookInvalid("event is missing or not a string")
    reader = _READERS.get(event)
    if reader is None:
        return Ignored(event=storable(event))
    return reader(payload, _in_room(payload, received_at))


class _InRoom(TypedDict):
    room_sid: RoomSid
    room_name: str
    at: datetime
    room_created_at: datetime | None


def _in_room(payload: Mapping[str, Any], received_at: datetime) -> _InRoom:
    room = _message(payload, "room")
    return {
        "room_sid": RoomSid(_key(room, "room", "sid")),
        "room_name": _key(room, "room", "name"),
        "at": _moment(payload) or received_at,
        "room_created_at": _created_at(room),
    }


def _room_started(_payload: Mapping[str, Any], in_room: _InRoom) -> RoomFact:
    return RoomStarted(**in_room)


def _room_finished(_payload: Mapping[str, Any], in_room: _InRoom) -> RoomFact:
    return RoomFinished(**in_room)


def _participant_joined(payload: Mapping[str, Any], in_room: _InRoom) -> RoomFact:
    participant = _message(payload, "participant")
    return ParticipantJoined(
        **in_room,
        sid=ParticipantSid(_key(participant, "participant", "sid")),
        identity=_key(participant, "participant", "identity"),
        name=_text(participant, "participant", "name"),
        kind=kind_word(_enum(participant, "participant", "kind")),
        metadata=_text(participant, "participant", "metadata"),
    )


def _participant_left(payload: Mapping[str, Any], in_room: _InRoom) -> RoomFact:
    return ParticipantLeft(**in_room, sid=_participant_sid(payload), identity=_identity(payload))


def _track_published(payload: Mapping[str, Any], in_room: _InRoom) -> RoomFact:
    track = _message(payload, "track")
    return TrackPublished(
        **in_room,
        sid=TrackSid(_key(track, "track", "sid")),
        participant_sid=_participant_sid(payload),
        identity=_identity(payload),
        type=type_word(_enum(track, "track", "type")),
        source=source_word(_enum(track, "track", "source")),
        name=_text(track, "track", "name"),
        mime_type=_text(track, "track", "mimeType", "mime_type"),
    )


def _track_unpublished(payload: Mapping[str, Any], in_room: _InRoom) -> RoomFact:
    return TrackUnpublished(
        **in_room,
        sid=TrackSid(_key(_message(payload, "track"), "track", "sid")),
        participant_sid=_participant_sid(payload),
        identity=_identity(payload),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any], _InRoom], RoomFact]] = MappingProxyType(
    {
        "room_started": _room_started,
        "room_finished": _room_finished,
        "participant_joined": _participant_joined,
        "participant_left": _participant_left,
        "participant_connection_aborted": _participant_left,
        "track_published": _track_published,
        "track_unpublished": _track_unpublished,
    }
)


def _participant_sid(payload: Mapping[str, Any]) -> ParticipantSid:
    return ParticipantSid(_key(_message(payload, "participant"), "participant", "sid"))


def _identity(payload: Mapping[str, Any]) -> str:
    # Only for display here, so it may be absent: who is meant is told by the sid.
    return _text(_message(payload, "participant"), "participant", "identity")


def _message(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = payload.get(name)
    if not isinstance(value, dict):
        raise WebhookInvalid(f"{name} is missing or not an object")
    return value


def _text(message: Mapping[str, Any], where: str, *spellings: str) -> str:
    value = _first(message, spellings)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WebhookInvalid(f"{where}.{spellings[0]} is not a string")
    return storable(value)


def _key(message: Mapping[str, Any], where: str, name: str) -> str:
    value = _text(message, where, name)
    if not value:
        raise WebhookInvalid(f"{where}.{name} is missing")
    if len(value) > _MAX_KEY_BYTES or len(value.encode()) > _MAX_KEY_BYTES:
        raise WebhookInvalid(f"{where}.{name} is over {_MAX_KEY_BYTES} bytes")
    return value


def _enum(message: Mapping[str, Any], where: str, name: str) -> Named:
    value = message.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise WebhookInvalid(f"{where}.{name} is not an enum's name or number")
    return value


def _moment(payload: Mapping[str, Any]) -> datetime | None:
    # Only for display, so what cannot be read is no reason to refuse the event.
    seconds = _digits(_first(payload, ("createdAt", "created_at")), longest=12)
    if seconds is None or not 0 < seconds <= _LAST_SECOND:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _created_at(room: Mapping[str, Any]) -> datetime | None:
    ms = _digits(_first(room, ("creationTimeMs", "creation_time_ms")), longest=15)
    if not ms:
        # Servers before 1.8 give whole seconds only, in their lists too.
        ms = (_digits(_first(room, ("creationTime", "creation_time")), longest=12) or 0) * 1000
    if not 0 < ms // 1000 <= _LAST_SECOND:
        return None
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def _digits(value: Any, *, longest: int) -> int | None:
    """An int64 as protobuf's JSON has it: a string or a number."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= longest:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _first(message: Mapping[str, Any], spellings: tuple[str, ...]) -> Any:
    for name in spellings:
        if (value := message.get(name)) is not None:
            return value
    return None
