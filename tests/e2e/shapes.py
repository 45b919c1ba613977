"""What the contract says that June's messages hold: field by field, copied from its tables and not from the code."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aio_pika.abc import AbstractIncomingMessage


def words(text: str) -> set[str]:
    """The names in it."""
    return set(text.split())


ENVELOPE = words(
    "specversion id source type subject time datacontenttype partitionkey sequence traceparent data"
)
SESSION = words(
    "session_id user_id room_name livekit_room_sid status origin created_at started_at ended_at end_reason metadata"
    " stt ai"
)
TOKENS = ("access_token", "identity", "livekit_url", "token_expires_at")
SESSION_ANSWER = {"session", *TOKENS}
GUEST_ANSWER = words("access_token identity room_name livekit_url expires_at")

_PERSON = "sid identity"
_FULL_PERSON = "sid identity name kind metadata"
_IN_A_ROOM = "session_id room_name"
_LEASED = "lease_s expires_at report_to"
_JOB = f"job_id attempt {_IN_A_ROOM} room_sid participant track language livekit_url token {_LEASED}"
_TURN = f"turn_id attempt {_IN_A_ROOM} participant utterance_id text language history {_LEASED}"
_SPEAK = f"turn_id part attempt {_IN_A_ROOM} text language livekit_url token {_LEASED}"
_CANCEL = "turn_id attempt instance session_id reason"
_AT_A_TRACK = "session_id room_name room_sid participant track at"
_TRACK = "sid type source name mime_type"

DATA: dict[str, tuple[str, dict[str, str]]] = {
    "june.session.created.v1": ("session", {}),
    "june.session.started.v1": ("session", {}),
    "june.session.ended.v1": ("session", {}),
    "june.participant.joined.v1": (
        "session_id room_name room_sid participant at",
        {"participant": _FULL_PERSON},
    ),
    "june.participant.left.v1": (
        "session_id room_name room_sid participant at",
        {"participant": _FULL_PERSON},
    ),
    "june.track.published.v1": (_AT_A_TRACK, {"participant": _PERSON, "track": _TRACK}),
    "june.track.unpublished.v1": (_AT_A_TRACK, {"participant": _PERSON, "track": _TRACK}),
    "june.transcript.added.v1": (
        "session_id utterance_id participant text language confidence start_ms end_ms",
        {"participant": _PERSON},
    ),
    "june.job.changed.v1": (
        "session_id job_id participant track_sid state attempt reason",
        {"participant": _PERSON},
    ),
    "june.turn.completed.v1": ("session_id turn_id text spoken", {}),
    "june.stt.start.v1": (
        _JOB,
        {
            "participant": "sid identity name kind",
            "track": "sid source mime_type",
            "report_to": "exchange routing_key",
        },
    ),
    "june.stt.stop.v1": ("job_id attempt instance session_id track_sid reason", {}),
    "june.ai.turn.v1": (_TURN, {"participant": "sid identity name", "report_to": "exchange routing_key"}),
    "june.ai.cancel.v1": (_CANCEL, {}),
    "june.tts.speak.v1": (_SPEAK, {"report_to": "exchange routing_key"}),
    "june.tts.cancel.v1": (_CANCEL, {}),
}
"""By type: the fields of `data`, and of the objects in it."""


def differences(envelope: dict[str, Any]) -> list[str]:
    """Where a message of June's is not as the contract says."""
    found = _compared("envelope", set(envelope), ENVELOPE)
    data = envelope["data"]
    fields, inner = DATA[envelope["type"]]
    found += _compared("data", set(data), words(fields))
    for name, within in inner.items():
        found += _compared(name, set(data.get(name, {})), words(within))
    if "session" in data:
        found += _compared("session", set(data["session"]), SESSION)
    for entry in data.get("history", ()):
        found += _compared("history", set(entry), {"role", "identity", "text", "at"})
    return [f"{envelope['type']}: {difference}" for difference in found]


def mirrors(message: AbstractIncomingMessage, envelope: Mapping[str, Any]) -> None:
    """A message of June's has the AMQP properties that its envelope asks for, and no header of the broker's kind."""
    assert message.message_id == envelope["id"]
    assert message.type == envelope["type"]
    assert message.content_type == "application/cloudevents+json"
    assert message.delivery_mode == 2
    assert message.timestamp is not None
    assert abs((message.timestamp - moment(envelope["time"])).total_seconds()) < 5
    assert not [name for name in message.headers if name.startswith("x-")]


def moment(text: str) -> datetime:
    """A time as the contract writes it."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.fromisoformat(text)


def _compared(what: str, found: set[str], wanted: set[str]) -> list[str]:
    return [f"{what}: {name} is missing" for name in sorted(wanted - found)] + [
        f"{what}: {name} is not in the contract" for name in sorted(found - wanted)
    ]
