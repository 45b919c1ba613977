"""`worker.application.ports.Transaction` on a cursor inside a transaction that somebody else begins and ends.

Promises: every statement is by key or by an index over what lives: its cost grows with neither sessions nor rooms.
Every write of a session's things raises the session's version, fenced by the version that was loaded; two writers of
one session meet at that row. A work that saves twice loads the session again in between.
Raises `Conflict`, `StoreUnavailable` and `Permanent`, in place of the driver's errors.
Refuses: to commit or to roll back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, TypeVar

from worker.adapters.sql import rows, tables
from worker.adapters.sql.codecs import moment_of, moment_us
from worker.adapters.sql.driver import Cursor, Driver
from worker.adapters.sql.rows import Shape
from worker.adapters.sql.statements import AT_ONCE, Statement, Statements
from worker.application.failures import Conflict
from worker.application.ports import Answer, OutboxMessage, RoomErrand, SessionPage
from worker.domain.conversation import Conversation, from_json, to_json
from worker.domain.copies import replace
from worker.domain.model import (
    Job,
    JobId,
    Participant,
    ParticipantSid,
    Removal,
    Room,
    RoomSid,
    Session,
    SessionId,
    State,
    Track,
    TrackSid,
    TurnId,
    TurnRef,
)

E = TypeVar("E")

_ROOM_COLUMNS = len(rows.ROOM.columns)


class SessionConflict(Conflict):
    """A conflict over this session."""

    def __init__(self, session_id: str, why: str) -> None:
        super().__init__(f"session {session_id!r}: {why}")
        self.session_id = session_id


class SqlTransaction:
    """One unit of work. Not for two threads at once, and of no use after its end.

    `locked`: the one session that it may write, whose row the transaction has locked; `None`: any.
    """

    def __init__(self, cursor: Cursor, driver: Driver, *, locked: str | None = None) -> None:
        self._cursor = cursor
        self._driver = driver
        self._sql = driver.statements
        self._locked = locked

    @property
    def statements(self) -> Statements:
        """For what belongs to the store and not to a use case."""
        return self._sql

    def seen(self, message_id: str) -> bool:
        """Whether the inbox has this message."""
        return self.row(self._sql.seen, message_id=message_id) is not None

    def mark_seen(self, message_id: str, now: datetime) -> bool:
        """Put the message into the inbox; False when it was there."""
        self.run(self._sql.mark_seen, message_id=message_id, seen_at=moment_us(now))
        return self._cursor.rowcount == 1

    def session(self, session_id: str) -> Session | None:
        """By its id, whatever its state."""
        return self._one(rows.SESSION, self._sql.session, session_id=session_id)

    def live_session(self, room_name: str) -> Session | None:
        """The one session that holds the room name, a reserved one included."""
        return self._one(rows.SESSION, self._sql.live_session, live_name=room_name)

    def room(self, room_sid: RoomSid) -> Room | None:
        """By its sid, tombstones included."""
        return self._one(rows.ROOM, self._sql.room, room_sid=room_sid)

    def room_and_session(self, room_sid: RoomSid) -> tuple[Room | None, Session | None]:
        """The room, tombstones included, and the session that it belongs to."""
        row = self.row(self._sql.room_and_session, room_sid=room_sid)
        if row is None:
            return None, None
        room = rows.ROOM.entity(row[:_ROOM_COLUMNS])
        session = row[_ROOM_COLUMNS:]
        return room, None if session[0] is None else rows.SESSION.entity(session)

    def participant(self, room_sid: RoomSid, sid: ParticipantSid) -> Participant | None:
        """By room and sid, tombstones included."""
        return self._one(rows.PARTICIPANT, self._sql.participant, room_sid=room_sid, sid=sid)

    def live_participants(self, room_sid: RoomSid) -> Sequence[Participant]:
        """Everybody in the room, by sid."""
        found = self.all(rows.PARTICIPANT, self._sql.live_participants, room_sid=room_sid)
        return sorted(found, key=attrgetter("sid"))

    def track(self, room_sid: RoomSid, sid: TrackSid) -> Track | None:
        """By room and sid, tombstones included."""
        return self._one(rows.TRACK, self._sql.track, room_sid=room_sid, sid=sid)

    def live_tracks(
        self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None
    ) -> Sequence[Track]:
        """What is published in the room, or by one participant of it, by sid."""
        in_room: dict[str, Any] = {"room_sid": room_sid}
        if participant_sid is None:
            found = self.all(rows.TRACK, self._sql.live_tracks, **in_room)
        else:
            found = self.all(rows.TRACK, self._sql.live_tracks_of, **in_room, participant_sid=participant_sid)
        return sorted(found, key=attrgetter("sid"))

    def job(self, job_id: JobId, room_sid: RoomSid | None = None) -> Job | None:  # noqa: ARG002 - for a cache
        """By its id, ended ones included."""
        return self._one(rows.JOB, self._sql.job, job_id=job_id)

    def live_jobs(self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None) -> Sequence[Job]:
        """What is transcribed in the room, or of one participant, by job id."""
        in_room: dict[str, Any] = {"room_sid": room_sid}
        if participant_sid is None:
            found = self.all(rows.JOB, self._sql.live_jobs, **in_room)
        else:
            found = self.all(rows.JOB, self._sql.live_jobs_of, **in_room, participant_sid=participant_sid)
        return sorted(found, key=attrgetter("job_id"))

    def conversation(self, session_id: SessionId) -> Conversation | None:
        """`None` before anything was said."""
        row = self.row(self._sql.conversation, session_id=session_id)
        return None if row is None else from_json(row[0])

    def turn(self, turn_id: TurnId) -> TurnRef | None:
        """Whose turn it is or was."""
        return self._one(rows.TURN, self._sql.turn, turn_id=turn_id)

    def utterance_taken(self, job_id: JobId, utterance_id: str) -> bool:
        """Whether a final of it was saved."""
        return self.row(self._sql.utterance, job_id=job_id, utterance_id=utterance_id) is not None

    def removal(self, session_id: SessionId, identity: str) -> Removal | None:
        """Until when the identity may not come back, past moments included."""
        return self._one(rows.REMOVAL, self._sql.removal, session_id=session_id, identity=identity)

    def shut_until(self, room_name: str, now: datetime) -> datetime | None:
        """The latest `tokens_until` after `now` of deleted sessions that had this room name."""
        row = self.row(self._sql.shut_until, room_name=room_name, now=moment_us(now))
        return None if row[0] is None else moment_of(row[0])

    def save(self, before: State, after: State) -> None:
        """Write what differs; see the port. Order of the writes: the session first, where a stale writer stops."""
        changes = _changes(before, after)
        new_words = sorted(after.utterances - before.utterances) if after.utterances else []
        spoken = None if after.conversation == before.conversation else after.conversation
        if not (changes or new_words or spoken) and before.session == after.session:
            return
        self._save_session(before.session, after.session)
        for shape, changed in changes:
            self._put(shape, changed)
        if spoken is not None:
            self._put_conversation(spoken)
        self.run_many(
            self._sql.insert_utterance,
            [{"job_id": job_id, "utterance_id": said} for job_id, said in new_words],
        )

    def _put(self, shape: Shape[Any], changes: Sequence[tuple[Any, Any]]) -> None:
        """Write each pair's second, where the first was before."""
        new = [shape.values(entity) for before, entity in changes if before is None]
        self._write(self._sql.put(shape.table).sql, new)
        for before, entity in changes:
            if before is not None:
                row = shape.differing(before, entity)
                self._execute(self._sql.update(shape.table, *row), row | shape.key(entity))

    def _put_conversation(self, conversation: Conversation) -> None:
        row = {"session_id": conversation.session_id, "document": to_json(conversation)}
        self._execute(self._sql.put(tables.conversations), row)

    def _save_session(self, before: Session | None, after: Session | None) -> None:
        match before, after:
            case None, None:
                return
            case None, Session():
                self._insert_session(after)
            case Session(), Session() if before.session_id == after.session_id:
                self._update_session(before, after)
            case _:
                raise ValueError("a decision may change its session, but not put another in its place")

    def _insert_session(self, session: Session) -> None:
        row = rows.SESSION.row(session) | {"version": session.version + 1, "live_name": _live_name(session)}
        self._fenced(self._sql.insert_session, row, "its id or live room name was taken meanwhile")

    def _update_session(self, before: Session, after: Session) -> None:
        row = rows.SESSION.differing(before, after)
        if before.live != after.live:
            row["live_name"] = _live_name(after)
        row["version"] = before.version + 1
        statement = self._sql.update_session(*row)
        row["this"], row["fence"] = before.session_id, before.version
        self._fenced(statement, row, "it is at another version")

    def _fenced(self, sql: Statement, row: Mapping[str, Any], why: str) -> None:
        """A statement that must meet one row of the session, or somebody else was first."""
        session_id: str = row["this"] if "this" in row else row["session_id"]
        if self._locked not in {None, session_id}:
            raise SessionConflict(session_id, "another one is locked")
        try:
            self._execute(sql, row)
        except Conflict as conflict:
            raise SessionConflict(session_id, str(conflict)) from conflict
        if self._cursor.rowcount != 1:
            raise SessionConflict(session_id, why)

    def purged_session(self, session_id: str) -> None:
        """Rows of it were deleted by a statement of the store's own."""

    def forget_removal(self, session_id: SessionId, identity: str) -> None:
        """The identity may come back; absent is done."""
        self.run(self._sql.delete_removal, session_id=session_id, identity=identity)

    def drop_reservation(self, session: Session) -> None:
        """Take a reserved session out as if it had never been; `Conflict` when it changed meanwhile."""
        self._fenced(
            self._sql.delete_session,
            {"this": session.session_id, "fence": session.version},
            "the reservation changed meanwhile",
        )
        # The room that it was told of may be there; it is nobody's until an event of it comes.
        self.run(self._sql.release_rooms, this=session.session_id, reserved_at=moment_us(session.created_at))

    def put_outbox(self, messages: Sequence[OutboxMessage]) -> Sequence[OutboxMessage]:
        """Store them, in this order; returns them with their `position`, which rises and is never used again."""
        stored: list[OutboxMessage] = []
        for start in range(0, len(messages), AT_ONCE):
            some = messages[start : start + AT_ONCE]
            values = [value for message in some for value in _outbox_values(message)]
            numbers = self._numbered(self._sql.put_outbox(len(some)).sql, values, len(some))
            stored += [
                replace(message, position=number) for message, number in zip(some, numbers, strict=True)
            ]
        return stored

    def forget_outbox(self, positions: Sequence[int]) -> None:
        """The broker has them; absent is done."""
        for start in range(0, len(positions), AT_ONCE):
            some = list(positions[start : start + AT_ONCE])
            # One text for any number: the last one is named again until all places are taken.
            self._write(self._sql.forget_outbox.sql, [some + some[-1:] * (AT_ONCE - len(some))])

    def outbox_of(self, cause: str) -> Sequence[OutboxMessage]:
        """What is still to be sent of one message's effects, in order."""
        return self.all(rows.OUTBOX, self._sql.outbox_of, cause=cause)

    def set_timer(self, session_id: SessionId, room_name: str, key: str, due_at: datetime) -> None:
        """Wake at `due_at`; an earlier timer of this key is replaced, a claimed one too."""
        due_us = moment_us(due_at)
        self.run(
            self._sql.put(tables.timers),
            session_id=session_id,
            room_name=room_name,
            key=key,
            due_at=due_us,
            ready_at=due_us,
        )

    def put_errand(self, errand: RoomErrand, *, claim: timedelta = timedelta(0)) -> int:
        """Store it; returns its id. See the port for `claim`."""
        row = rows.ERRAND.row(errand)
        del row["errand_id"]
        row["ready_at"] = moment_us(errand.due_at + claim)
        statement = self._sql.put_errand
        (number,) = self._numbered(statement.sql, statement.places(row), 1)
        return number

    def errands_of_room(self, room_name: str) -> Sequence[RoomErrand]:
        """Those that are not done, in the order in which they were put."""
        return self.all(rows.ERRAND, self._sql.errands_of_room, room_name=room_name)

    def answer(self, key: str) -> Answer | None:
        """What the command with this idempotency key was answered."""
        return self._one(rows.ANSWER, self._sql.answer, key=key)

    def remember(self, answer: Answer) -> None:
        """Store the answer, in place of an older one of the same key."""
        self.run(self._sql.put(tables.answers), **rows.ANSWER.row(answer))

    def list_sessions(
        self,
        *,
        user_id: str | None,
        state: str | None,
        room_name: str | None,
        limit: int,
        after: tuple[datetime, str] | None,
    ) -> SessionPage:
        """Newest first by (created_at, session_id); see the port."""
        filters = {"user_id": user_id, "state": state, "room_name": room_name}
        given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        sql = self._sql.list_sessions(*given, further=after is not None)
        place = {} if after is None else {"at": moment_us(after[0]), "after": after[1]}
        found = self.all(rows.SESSION, sql, **given, **place, at_most=limit + 1)
        page = tuple(found[:limit])
        more = len(found) > limit and bool(page)
        return SessionPage(sessions=page, after=(page[-1].created_at, page[-1].session_id) if more else None)

    def run(self, sql: Statement, **parameters: Any) -> None:
        """Execute a statement for its effect."""
        self._execute(sql, parameters)

    def run_many(self, sql: Statement, rows_of_it: Sequence[Mapping[str, Any]]) -> None:
        """Execute a statement for each of the rows, in order."""
        self._write(sql.sql, [sql.places(row) for row in rows_of_it])

    def row(self, sql: Statement, **parameters: Any) -> Any:
        """The first row that a statement gives, or `None`."""
        self._execute(sql, parameters)
        return self._cursor.fetchone()

    def rows(self, sql: Statement, **parameters: Any) -> list[Any]:
        """Every row that a statement gives."""
        self._execute(sql, parameters)
        return list(self._cursor.fetchall())

    def all(self, shape: Shape[E], sql: Statement, **parameters: Any) -> list[E]:
        """Everything that a select of the shape's columns gives."""
        self._execute(sql, parameters)
        return [shape.entity(row) for row in self._cursor.fetchall()]

    def _numbered(self, sql: str, values: Sequence[Any], count: int) -> Sequence[int]:
        self._write(sql, [values])
        return self._driver.new_numbers(self._cursor, count)

    def _execute(self, sql: Statement, parameters: Mapping[str, Any]) -> None:
        try:
            self._cursor.execute(sql.sql, sql.places(parameters))
        except self._driver.errors as error:
            raise self._driver.failure(error) from error

    def _write(self, sql: str, rows_of_it: Sequence[Sequence[Any]]) -> None:
        """Execute it for each row of parameters, which are in the order of their places."""
        try:
            if len(rows_of_it) == 1:
                self._cursor.execute(sql, rows_of_it[0])
            elif rows_of_it:
                self._cursor.executemany(sql, rows_of_it)
        except self._driver.errors as error:
            raise self._driver.failure(error) from error

    def _one(self, shape: Shape[E], sql: Statement, **parameters: Any) -> E | None:
        row = self.row(sql, **parameters)
        return None if row is None else shape.entity(row)


def _changes(before: State, after: State) -> list[tuple[Shape[Any], list[tuple[Any, Any]]]]:
    """Per shape what differs, as it was and as it is to be; shapes without any are left out."""
    both: tuple[tuple[Shape[Any], Mapping[Any, Any], Mapping[Any, Any]], ...] = (
        (rows.ROOM, before.rooms, after.rooms),
        (rows.PARTICIPANT, before.participants, after.participants),
        (rows.TRACK, before.tracks, after.tracks),
        (rows.JOB, before.jobs, after.jobs),
        (rows.TURN, before.turns, after.turns),
        (rows.REMOVAL, before.removals, after.removals),
    )
    return [(shape, pairs) for shape, was, now in both if was is not now and (pairs := _pairs(was, now))]


def _pairs(before: Mapping[Any, E], after: Mapping[Any, E]) -> list[tuple[E | None, E]]:
    return [
        (was, entity)
        for key, entity in after.items()
        if (was := before.get(key)) is not entity and was != entity
    ]


def _live_name(session: Session) -> str | None:
    return session.room_name if session.live else None


def _outbox_values(message: OutboxMessage) -> list[Any]:
    """In the order of the table, after its position: ready since it was made."""
    values = rows.OUTBOX.values(message)
    values[-1] = moment_us(message.created_at)
    return values
