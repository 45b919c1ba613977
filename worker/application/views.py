"""The session as others see it."""

from __future__ import annotations

import json

from schemas.sessions import AiSettings, SessionStatus, SessionView, SttSettings
from worker.domain.model import Session, SessionState

_STATUS = {
    SessionState.RESERVED: SessionStatus.CREATED,
    SessionState.CREATED: SessionStatus.CREATED,
    SessionState.ACTIVE: SessionStatus.ACTIVE,
    SessionState.ENDED: SessionStatus.ENDED,
}


def session_view(session: Session) -> SessionView:
    """The contract's Session. A reserved one is never shown."""
    return SessionView(
        session_id=session.session_id,
        user_id=session.user_id,
        room_name=session.room_name,
        livekit_room_sid=session.room_sid,
        status=_STATUS[session.state],
        origin=session.origin,
        created_at=session.created_at,
        started_at=session.started_at,
        ended_at=session.ended_at,
        end_reason=session.end_reason,
        metadata=None if session.metadata is None else json.loads(session.metadata),
        stt=SttSettings(enabled=session.stt_enabled, language=session.stt_language),
        ai=AiSettings(enabled=session.ai_enabled, speak=session.ai_speak),
    )
