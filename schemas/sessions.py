"""A session as everybody outside sees it."""

from enum import StrEnum
from typing import Any

from schemas.model import Wire
from schemas.times import WireTime


class SessionStatus(StrEnum):
    """`created`: nobody was there yet; `active`: from the first participant on; `ended`."""

    CREATED = "created"
    ACTIVE = "active"
    ENDED = "ended"


class SessionOrigin(StrEnum):
    """Who opened the room: June by a command, or someone else on LiveKit, so that June adopted it."""

    JUNE = "june"
    LIVEKIT = "livekit"


class EndReason(StrEnum):
    """Why a session ended. `room_lost`: LiveKit has the room no more, and never said so."""

    DELETED = "deleted"
    ROOM_FINISHED = "room_finished"
    ROOM_LOST = "room_lost"


class SttSettings(Wire):
    """Whether, and in which language, voices are transcribed."""

    enabled: bool
    language: str


class AiSettings(Wire):
    """Whether an AI answers, and whether its answers are spoken."""

    enabled: bool
    speak: bool


class SessionView(Wire):
    """One session. `user_id` is None for an adopted one; the other Nones are what did not happen yet.

    `metadata` is the object that its creator gave, or None.
    """

    session_id: str
    user_id: str | None
    room_name: str
    livekit_room_sid: str | None
    status: SessionStatus
    origin: SessionOrigin
    created_at: WireTime
    started_at: WireTime | None
    ended_at: WireTime | None
    end_reason: EndReason | None
    metadata: dict[str, Any] | None
    stt: SttSettings
    ai: AiSettings
