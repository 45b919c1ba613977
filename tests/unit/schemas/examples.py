"""One example of each message, in the words of the contract. The golden files are their bytes.

`python -m tests.unit.schemas.examples` writes the files that are missing. It never changes one that is there:
those are yesterday's bytes, which must be read for as long as their version lives.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas import commands, events, pipeline, replies, reports, sessions
from schemas.envelope import Envelope, decode, encode
from schemas.errors import FieldProblem
from schemas.model import Message, session_message
from schemas.participants import (
    Participant,
    ParticipantKind,
    ParticipantRef,
    ParticipantState,
    ParticipantView,
    Speaker,
    Track,
    TrackSource,
    TrackType,
    TrackView,
    VoiceOwner,
    VoiceTrack,
)
from schemas.topology import report_to

GOLDEN = Path(__file__).parents[2] / "golden"
NOW = datetime(2026, 11, 22, 19, 0, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 22, 19, 0, 30, 123000, tzinfo=UTC)
URL = "wss://livekit.example.com"
ROOM = "Besprechung/ü 1"

SESSION = sessions.SessionView(
    session_id="s-1",
    user_id="ann",
    room_name=ROOM,
    livekit_room_sid="RM_1",
    status=sessions.SessionStatus.ACTIVE,
    origin=sessions.SessionOrigin.JUNE,
    created_at=NOW,
    started_at=LATER,
    ended_at=None,
    end_reason=None,
    metadata={"order": 7, "note": "grüezi"},
    stt=sessions.SttSettings(enabled=True, language="de-CH"),
    ai=sessions.AiSettings(enabled=True, speak=False),
)
ADOPTED = sessions.SessionView(
    session_id="s-2",
    user_id=None,
    room_name="lobby",
    livekit_room_sid="RM_2",
    status=sessions.SessionStatus.ENDED,
    origin=sessions.SessionOrigin.LIVEKIT,
    created_at=NOW,
    started_at=NOW,
    ended_at=LATER,
    end_reason=sessions.EndReason.ROOM_LOST,
    metadata=None,
    stt=sessions.SttSettings(enabled=False, language="en"),
    ai=sessions.AiSettings(enabled=False, speak=False),
)
ANN = ParticipantRef(sid="PA_1", identity="ann")
ANN_IN_FULL = Participant(sid="PA_1", identity="ann", name="Ann", kind=ParticipantKind.STANDARD, metadata="")
MIC = Track(
    sid="TR_1", type=TrackType.AUDIO, source=TrackSource.MICROPHONE, name="mic", mime_type="audio/red"
)

_ABOUT: Mapping[str, Any] = {"session_id": "s-1", "room_name": ROOM}
_IN_ROOM: Mapping[str, Any] = {**_ABOUT, "room_sid": "RM_1"}
_LEASE: Mapping[str, Any] = {"lease_s": 30, "expires_at": LATER, "report_to": report_to(ROOM)}

PUBLISHED: tuple[Message, ...] = (
    events.SessionCreated(session=SESSION),
    events.SessionStarted(session=SESSION),
    events.SessionEnded(session=ADOPTED),
    events.ParticipantJoined(**_IN_ROOM, participant=ANN_IN_FULL, at=NOW),
    events.ParticipantLeft(**_IN_ROOM, participant=ANN_IN_FULL, at=LATER),
    events.TrackPublished(**_IN_ROOM, participant=ANN, track=MIC, at=NOW),
    events.TrackUnpublished(**_IN_ROOM, participant=ANN, track=MIC, at=LATER),
    events.TranscriptAdded(
        session_id="s-1",
        utterance_id="u-1",
        participant=ANN,
        text="Guten Abend",
        language="de-CH",
        confidence=0.93,
        start_ms=120,
        end_ms=None,
    ),
    events.JobChanged(
        session_id="s-1",
        job_id="j-1",
        participant=ANN,
        track_sid="TR_1",
        state=events.JobState.ENDED,
        attempt=1,
        reason=pipeline.StopReason.PARTICIPANT_LEFT,
    ),
    events.TurnCompleted(session_id="s-1", turn_id="t-1", text="Guten Abend, Ann.", spoken=True),
    pipeline.SttStart(
        job_id="j-1",
        attempt=1,
        **_IN_ROOM,
        participant=VoiceOwner(sid="PA_1", identity="ann", name="Ann", kind=ParticipantKind.STANDARD),
        track=VoiceTrack(sid="TR_1", source=TrackSource.MICROPHONE, mime_type="audio/red"),
        language="de-CH",
        livekit_url=URL,
        token="stt-token",
        **_LEASE,
    ),
    pipeline.SttStop(
        job_id="j-1",
        attempt=None,
        instance=None,
        session_id="s-1",
        track_sid="TR_1",
        reason=pipeline.StopReason.TRACK_UNPUBLISHED,
    ),
    pipeline.AiTurn(
        turn_id="t-1",
        attempt=1,
        **_ABOUT,
        participant=Speaker(sid="PA_1", identity="ann", name="Ann"),
        utterance_id="u-1",
        text="Guten Abend",
        language="de-CH",
        history=(
            pipeline.HistoryEntry(role=pipeline.HistoryRole.USER, identity="ann", text="Hallo?", at=NOW),
            pipeline.HistoryEntry(role=pipeline.HistoryRole.ASSISTANT, identity=None, text="Ja?", at=NOW),
        ),
        **_LEASE,
    ),
    pipeline.AiCancel(
        turn_id="t-1", attempt=1, instance="ai-7", session_id="s-1", reason=pipeline.CancelReason.BARGE_IN
    ),
    pipeline.TtsSpeak(
        turn_id="t-1",
        part=0,
        attempt=1,
        **_ABOUT,
        text="Guten Abend, Ann.",
        language="de-CH",
        livekit_url=URL,
        token="tts-token",
        **_LEASE,
    ),
    pipeline.TtsCancel(
        turn_id="t-1",
        attempt=None,
        instance=None,
        session_id="s-1",
        reason=pipeline.CancelReason.SESSION_ENDED,
    ),
)

COMMAND_DATA: Mapping[str, Mapping[str, Any]] = {
    commands.SessionCreate.TYPE: {
        "user_id": "ann",
        "session_id": "s-1",
        "room_name": ROOM,
        "display_name": "Ann",
        "metadata": {"order": 7, "note": "grüezi"},
        "empty_timeout_s": 300,
        "departure_timeout_s": 20,
        "max_participants": 8,
        "token_ttl_s": 900,
        "stt": {"enabled": True, "language": "de-CH"},
        "ai": {"enabled": True, "speak": False},
        "agents": [{"agent_name": "scribe", "metadata": "raw"}],
    },
    commands.SessionGet.TYPE: {"session_id": "s-1", "identity": "ann"},
    commands.SessionList.TYPE: {
        "user_id": "ann",
        "status": "active",
        "room_name": ROOM,
        "limit": 20,
        "cursor": "c",
    },
    commands.SessionDelete.TYPE: {"session_id": "s-1", "reason": "done"},
    commands.RoomGet.TYPE: {"session_id": "s-1"},
    commands.ParticipantList.TYPE: {"session_id": "s-1"},
    commands.ParticipantRemove.TYPE: {"session_id": "s-1", "identity": "bob"},
    commands.GuestTokenCreate.TYPE: {
        "session_id": "s-1",
        "guest_name": "Bob",
        "ttl_s": 600,
        "can_publish": False,
        "can_subscribe": True,
        "can_publish_data": False,
    },
}

REPORT_DATA: Mapping[str, Mapping[str, Any]] = {
    reports.SttStatus.TYPE: {"job_id": "j-1", "attempt": 1, "state": "failed", "error": "draining"},
    reports.SttSpeechStarted.TYPE: {"job_id": "j-1", "at": "2026-11-22T19:00:01.500Z"},
    reports.SttTranscript.TYPE: {
        "job_id": "j-1",
        "attempt": 1,
        "utterance_id": "u-1",
        "text": "Guten Abend",
        "is_final": True,
        "language": "de-CH",
        "confidence": 0.93,
        "start_ms": 120,
        "end_ms": 980,
    },
    reports.AiReply.TYPE: {
        "turn_id": "t-1",
        "attempt": 1,
        "part": 0,
        "text": "Guten Abend.",
        "is_final": True,
    },
    reports.AiStatus.TYPE: {"turn_id": "t-1", "attempt": 1, "state": "running", "error": None},
    reports.TtsStatus.TYPE: {"turn_id": "t-1", "part": 0, "attempt": 1, "state": "cancelled", "error": None},
}

_SESSION_RESULT = replies.SessionResult(
    session=SESSION, access_token="token", identity="ann", livekit_url=URL, token_expires_at=LATER
)
OUTCOMES: Mapping[str, replies.Result | replies.ReplyError] = {
    "session.create": _SESSION_RESULT,
    "session.get": replies.SessionResult(
        session=ADOPTED, access_token=None, identity=None, livekit_url=None, token_expires_at=None
    ),
    "session.list": replies.SessionListResult(sessions=(SESSION, ADOPTED), next_cursor="c-2"),
    "session.delete": replies.SessionDeleted(session=ADOPTED),
    "room.get": replies.RoomResult(
        room=replies.RoomView(
            name=ROOM,
            sid="RM_1",
            num_participants=1,
            created_at=NOW,
            empty_timeout_s=900,
            departure_timeout_s=20,
            max_participants=0,
            metadata="",
        )
    ),
    "participant.list": replies.ParticipantListResult(
        participants=(
            ParticipantView(
                sid="PA_1",
                identity="ann",
                name="Ann",
                kind=ParticipantKind.STANDARD,
                state=ParticipantState.ACTIVE,
                joined_at=NOW,
                metadata="",
                tracks=(
                    TrackView(
                        sid="TR_1",
                        type=TrackType.AUDIO,
                        source=TrackSource.MICROPHONE,
                        name="mic",
                        muted=False,
                        mime_type="audio/red",
                    ),
                ),
            ),
        )
    ),
    "participant.remove": replies.ParticipantRemoved(),
    "guest_token.create": replies.GuestTokenResult(
        access_token="token", identity="guest-1", room_name=ROOM, livekit_url=URL, expires_at=LATER
    ),
    "error": replies.ReplyError.of(
        replies.ErrorCode.INVALID_ARGUMENT,
        "the data of june.session.get.v1 breaks its rules",
        [FieldProblem("session_id", "is required")],
    ),
}


def _published() -> dict[str, Envelope]:
    return {
        message.TYPE: decode(
            session_message(
                message, id=f"m-{number}", time=NOW, session_id="s-1", room_name=ROOM, sequence=number
            )
        )
        for number, message in enumerate(PUBLISHED, start=1)
    }


def _replies() -> dict[str, Envelope]:
    return {
        f"june.reply.v1.{name}": replies.reply_envelope(
            id="r-1",
            time=NOW,
            command_id="c-1",
            subject=None if name == "error" else "s-1",
            outcome=outcome,
        )
        for name, outcome in OUTCOMES.items()
    }


def _sent_by_others() -> dict[str, Envelope]:
    return {
        type_: Envelope(id="c-1", source="booking", type=type_, time=NOW, data=data)
        for type_, data in {**COMMAND_DATA, **REPORT_DATA}.items()
    }


EXAMPLES: Mapping[str, Envelope] = _published() | _replies() | _sent_by_others()


def golden_bytes(name: str) -> bytes:
    """The bytes that were written when the version of this message was made."""
    return (GOLDEN / f"{name}.json").read_bytes().removesuffix(b"\n")


def write_missing() -> None:
    """Write the golden files that are not there yet."""
    for name, envelope in EXAMPLES.items():
        path = GOLDEN / f"{name}.json"
        if not path.exists():
            path.write_bytes(encode(envelope) + b"\n")
            print("written:", path.name)


if __name__ == "__main__":
    write_missing()
