"""Which slice of the store a fact is about.

Promises: a flat number of rows for each fact; a whole room only when the fact ends that room.
Refuses: decisions; it only reads.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from schemas.reports import (
    AiReply,
    AiStatus,
    Report,
    SttSpeechStarted,
    SttStatus,
    SttTranscript,
    TtsStatus,
)
from worker.application.ports import Transaction
from worker.domain.facts import (
    Fact,
    ParticipantJoined,
    ParticipantLeft,
    Reported,
    RoomFact,
    RoomFinished,
    RoomMissing,
    RoomRevived,
    RoomStarted,
    TimeCame,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.lifecycle import adopted_id
from worker.domain.model import (
    Job,
    JobId,
    Participant,
    ParticipantSid,
    Room,
    RoomSid,
    Session,
    SessionId,
    State,
    Track,
    TrackSid,
    TurnId,
)
from worker.domain.rooms import ends_late
from worker.domain.voices import job_id_of


class Slice:
    """Collects rows of one transaction into a `State`."""

    def __init__(self, tx: Transaction, session: Session | None) -> None:
        self._tx = tx
        self.session = session
        self.rooms: dict[RoomSid, Room] = {}
        self.participants: dict[tuple[RoomSid, ParticipantSid], Participant] = {}
        self.tracks: dict[tuple[RoomSid, TrackSid], Track] = {}
        self.jobs: dict[JobId, Job] = {}

    def room(self, room: Room | None) -> None:
        if room is not None:
            self.rooms[room.room_sid] = room

    def participant(self, room_sid: RoomSid, sid: ParticipantSid) -> None:
        if (found := self._tx.participant(room_sid, sid)) is not None:
            self.participants[room_sid, sid] = found

    def track(self, room_sid: RoomSid, sid: TrackSid) -> None:
        if (found := self._tx.track(room_sid, sid)) is not None:
            self.tracks[room_sid, sid] = found

    def job(self, room_sid: RoomSid, job_id: JobId) -> None:
        if (found := self._tx.job(job_id, room_sid)) is not None:
            self.jobs[job_id] = found

    def live_media(self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None) -> None:
        """The live tracks and jobs of one participant, or of the whole room."""
        for track in self._tx.live_tracks(room_sid, participant_sid):
            self.tracks[room_sid, track.sid] = track
        for job in self._tx.live_jobs(room_sid, participant_sid):
            self.jobs[job.job_id] = job

    def whole_room(self, room_sid: RoomSid) -> None:
        self.room(self._tx.room(room_sid))
        for participant in self._tx.live_participants(room_sid):
            self.participants[room_sid, participant.sid] = participant
        self.live_media(room_sid)

    def state(self, **more: object) -> State:
        return State(
            session=self.session,
            rooms=self.rooms,
            participants=self.participants,
            tracks=self.tracks,
            jobs=self.jobs,
            **more,  # type: ignore[arg-type]
        )


def load(tx: Transaction, fact: Fact, now: datetime) -> State:
    """The slice that `decide` needs for this fact."""
    match fact:
        case Reported():
            return _of_report(tx, fact.report)
        case TimeCame():
            return _of_time(tx, fact)
        case _:
            return _of_room(tx, fact, now)


def load_session(tx: Transaction, session: Session) -> State:
    """The session with everything live in it: for what ends it."""
    rows = Slice(tx, session)
    if session.room_sid is not None:
        rows.whole_room(session.room_sid)
    return rows.state(conversation=tx.conversation(session.session_id))


def _of_room(tx: Transaction, fact: RoomFact, now: datetime) -> State:
    room, session = tx.room_and_session(fact.room_sid)
    if isinstance(fact, RoomRevived):
        session = None
    if session is None and (room is None or not room.gone or isinstance(fact, RoomRevived)):
        # A live room of nobody was bound to a reservation that was dropped since.
        session = tx.live_session(fact.room_name)
    rows = Slice(tx, session)
    rows.room(room)
    if room is not None and room.gone and not isinstance(fact, RoomRevived) and not ends_late(session, fact):
        return rows.state()
    supersedes = session is not None and session.room_sid not in {None, fact.room_sid}
    if supersedes and not isinstance(fact, RoomFinished | RoomMissing):
        assert session is not None  # noqa: S101 - narrows for the type checker
        assert session.room_sid is not None  # noqa: S101
        rows.whole_room(session.room_sid)
    _what_it_names(rows, fact)
    ends = isinstance(fact, RoomFinished | RoomMissing | ParticipantLeft) or supersedes
    return rows.state(
        conversation=tx.conversation(session.session_id) if session is not None and ends else None,
        removals=_removals(tx, session, fact),
        adopted_id_taken=session is None and tx.session(adopted_id(fact.room_sid)) is not None,
        shut_until=tx.shut_until(fact.room_name, now) if session is None else None,
    )


def _what_it_names(rows: Slice, fact: RoomFact) -> None:
    match fact:
        case RoomStarted() | RoomRevived():
            pass
        case RoomFinished() | RoomMissing():
            rows.whole_room(fact.room_sid)
        case ParticipantJoined() | ParticipantLeft():
            rows.participant(fact.room_sid, fact.sid)
            rows.live_media(fact.room_sid, fact.sid)
        case TrackPublished() | TrackUnpublished():
            rows.participant(fact.room_sid, fact.participant_sid)
            rows.track(fact.room_sid, fact.sid)
            rows.job(fact.room_sid, job_id_of(fact.room_sid, fact.sid))
        case _:
            assert_never(fact)


def _removals(tx: Transaction, session: Session | None, fact: RoomFact) -> dict[str, object]:
    if session is None or not isinstance(fact, ParticipantJoined):
        return {}
    removal = tx.removal(session.session_id, fact.identity)
    return {} if removal is None else {fact.identity: removal}


def _of_report(tx: Transaction, report: Report) -> State:
    match report:
        case SttStatus():
            return _of_job(tx, JobId(report.job_id))
        case SttSpeechStarted():
            return _of_job(tx, JobId(report.job_id), conversation=True)
        case SttTranscript():
            final = report.utterance_id if report.is_final else None
            return _of_job(tx, JobId(report.job_id), conversation=report.is_final, utterance_id=final)
        case AiReply() | AiStatus() | TtsStatus():
            return _of_turn(tx, TurnId(report.turn_id))
        case _:
            raise AssertionError(f"no slice for {type(report).__name__}")


def _of_job(
    tx: Transaction, job_id: JobId, *, conversation: bool = False, utterance_id: str | None = None
) -> State:
    job = tx.job(job_id)
    if job is None:
        return State()
    taken = utterance_id is not None and tx.utterance_taken(job_id, utterance_id)
    return State(
        session=tx.session(job.session_id),
        jobs={job_id: job},
        conversation=tx.conversation(job.session_id) if conversation else None,
        utterances=frozenset({(job_id, utterance_id)} if taken and utterance_id is not None else ()),
    )


def _of_turn(tx: Transaction, turn_id: TurnId) -> State:
    turn = tx.turn(turn_id)
    if turn is None:
        return State()
    return State(
        session=tx.session(turn.session_id),
        turns={turn_id: turn},
        conversation=tx.conversation(turn.session_id),
    )


def _of_time(tx: Transaction, fact: TimeCame) -> State:
    session = tx.session(fact.session_id)
    if session is None:
        return State()
    kind, _, name = fact.key.partition(":")
    match kind:
        case "job":
            job = tx.job(JobId(name))
            return State(session=session, jobs={} if job is None else {job.job_id: job})
        case "room":
            return load_session(tx, session)
        case _:
            return State(session=session, conversation=tx.conversation(SessionId(session.session_id)))
