"""What the ingress must know of an event: its id, its name, its room. No I/O.

Promises: never raises, whatever the body holds. Reads both spellings of protojson (`roomName`, `room_name`).
A room name that no LiveKit room can have (not a string, far over LiveKit's 256 bytes) counts as absent:
the event still gets through, with the events that name no room.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from webhook_ingress.jsontext import json_object

MAX_NAME_BYTES: Final = 255
"""Of an id and of an event's name: what an AMQP property holds."""
_MAX_ROOM_NAME_BYTES: Final = 4096
_ROOM_NAMES: Final = (
    (("room",), ("name",)),
    (("egressInfo", "egress_info"), ("roomName", "room_name")),
    (("ingressInfo", "ingress_info"), ("roomName", "room_name")),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookEvent:
    """An event as far as the ingress reads it. `room` is empty when it names none."""

    id: str
    event: str
    room: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a body cannot be passed on as an event."""

    reason: str


def read_event(body: bytes) -> WebhookEvent | Unreadable:
    """The event in a body."""
    fields = json_object(body)
    if fields is None:
        return Unreadable("the body is not a JSON object")
    event_id, event = fields.get("id"), fields.get("event")
    problem = _name_problem("id", event_id) or _name_problem("event", event)
    if problem is not None:
        return Unreadable(problem)
    return WebhookEvent(id=str(event_id), event=str(event), room=_room_name(fields))


def _name_problem(field: str, value: object) -> str | None:
    if value is None or value == "":
        return f"`{field}` is missing"
    size = _utf8_size(value)
    if size is None:
        return f"`{field}` is not text"
    return f"`{field}` is over {MAX_NAME_BYTES} bytes" if size > MAX_NAME_BYTES else None


def _room_name(fields: Mapping[str, Any]) -> str:
    for owners, names in _ROOM_NAMES:
        for owner in owners:
            holder = fields.get(owner)
            if isinstance(holder, dict):
                for name in names:
                    value = holder.get(name)
                    if value and (_utf8_size(value) or _MAX_ROOM_NAME_BYTES + 1) <= _MAX_ROOM_NAME_BYTES:
                        return str(value)
    return ""


def _utf8_size(value: object) -> int | None:
    """None for what is no string."""
    return len(value.encode()) if isinstance(value, str) else None
