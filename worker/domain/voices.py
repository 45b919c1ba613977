"""Which tracks are human voices, and the job that transcribes one.

Promises: one job for each voice, with an id that names the voice, so that finding it twice makes it once.
Refuses: guessing a participant's kind; a track whose participant is not known yet is no voice yet.
"""

from __future__ import annotations

import hashlib

from schemas.participants import ParticipantKind, TrackSource, TrackType
from worker.domain.model import Job, JobId, Participant, RoomSid, Session, SessionId, Track, TrackSid

_HUMAN = frozenset({ParticipantKind.STANDARD, ParticipantKind.SIP, ParticipantKind.CONNECTOR})
_TRANSCRIBER = "june-stt-"
_SPEAKER = "june-tts-"


def is_own_bot(kind: ParticipantKind, identity: str) -> bool:
    """Whether this is one of the programs that June itself gives tokens to."""
    return kind is ParticipantKind.AGENT and identity.startswith((_TRANSCRIBER, _SPEAKER))


def transcriber_identity(job_id: JobId) -> str:
    """As whom a job's bot joins: by the job alone, so that the next attempt's bot replaces the last one's."""
    return f"{_TRANSCRIBER}{job_id}"


def speaker_identity(session_id: SessionId) -> str:
    """As whom a session's answers are spoken."""
    return f"{_SPEAKER}{session_id}"


def is_voice(session: Session, participant: Participant, track: Track) -> bool:
    """Whether the track is to be transcribed."""
    return (
        session.stt_enabled
        and participant.kind in _HUMAN
        and track.type is TrackType.AUDIO
        and track.source is not TrackSource.SCREEN_SHARE_AUDIO
    )


def job_id_of(room_sid: RoomSid, track_sid: TrackSid) -> JobId:
    """The name of a voice's job, the same for everybody who asks."""
    # The length in front keeps ("a", "bc") and ("ab", "c") apart.
    named = f"{len(room_sid)}:{room_sid}{track_sid}".encode("utf-8", "surrogatepass")
    return JobId("job_" + hashlib.sha256(named).hexdigest()[:24])


def new_job(session: Session, participant: Participant, track: Track) -> Job:
    """The job for a voice, not offered yet."""
    return Job(
        job_id=job_id_of(track.room_sid, track.sid),
        session_id=session.session_id,
        room_sid=track.room_sid,
        room_name=session.room_name,
        track_sid=track.sid,
        participant_sid=participant.sid,
        identity=participant.identity,
        participant_name=participant.name,
        kind=participant.kind,
        source=track.source,
        mime_type=track.mime_type,
        language=session.stt_language,
    )
