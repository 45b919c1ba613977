"""The contract's names for commands, events and pipeline messages, and new names that no other test uses."""

from __future__ import annotations

import uuid

CREATE, GET = "june.session.create.v1", "june.session.get.v1"
LIST, DELETE = "june.session.list.v1", "june.session.delete.v1"
REMOVE = "june.participant.remove.v1"

CREATED, STARTED, ENDED = (f"june.session.{what}.v1" for what in ("created", "started", "ended"))
JOINED, LEFT = "june.participant.joined.v1", "june.participant.left.v1"
PUBLISHED, UNPUBLISHED = "june.track.published.v1", "june.track.unpublished.v1"
ADDED, JOB, TURN_OVER = "june.transcript.added.v1", "june.job.changed.v1", "june.turn.completed.v1"

START, STOP = "june.stt.start.v1", "june.stt.stop.v1"
TURN, AI_CANCEL = "june.ai.turn.v1", "june.ai.cancel.v1"
SPEAK, TTS_CANCEL = "june.tts.speak.v1", "june.tts.cancel.v1"


def unique(prefix: str = "s") -> str:
    """A name."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def room_name() -> str:
    """One of a room."""
    return f"room {uuid.uuid4().hex[:12]}"
