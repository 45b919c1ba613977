"""A session as most tests have it, for `dataclasses.replace`, and as June tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.sessions import SessionOrigin
from worker.domain.model import Session, SessionId, SessionState

START = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
"""When virtual clocks begin."""
SESSION = Session(
    session_id=SessionId("s1"),
    user_id="ann",
    room_name="tea",
    state=SessionState.CREATED,
    origin=SessionOrigin.JUNE,
    created_at=START,
    stt_enabled=True,
    stt_language="en",
    ai_enabled=True,
    ai_speak=True,
)


def session_json(session_id: str = "s1", **fields: Any) -> dict[str, Any]:
    """With every field of the contract."""
    return {
        "session_id": session_id,
        "user_id": "ann",
        "room_name": f"room-{session_id}",
        "livekit_room_sid": f"RM_{session_id}",
        "status": "created",
        "origin": "june",
        "created_at": "2026-11-22T19:00:00.000Z",
        "started_at": None,
        "ended_at": None,
        "end_reason": None,
        "metadata": None,
        "stt": {"enabled": True, "language": "en"},
        "ai": {"enabled": True, "speak": True},
        **fields,
    }
