"""A transaction that asks its connection's cache first, and tells it whatever it writes.

Promises: the same answers and the same writes as without a cache. Needs a database whose one writer this transaction is
from its beginning to its end: what it finds absent stays absent until it writes it itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from worker.adapters.sql.cache import Cache
from worker.adapters.sql.driver import Cursor, Driver
from worker.adapters.sql.rows import Shape
from worker.adapters.sql.transaction import SqlTransaction
from worker.domain.conversation import Conversation
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
    Track,
    TrackSid,
)


class CachedTransaction(SqlTransaction):
    """One unit of work on a connection that has a cache."""

    def __init__(self, cursor: Cursor, driver: Driver, cache: Cache, *, locked: str | None = None) -> None:
        super().__init__(cursor, driver, locked=locked)
        self._cache = cache
        self._absent: set[RoomSid] = set()
        """Rooms that have no row."""

    def session(self, session_id: str) -> Session | None:
        """By its id, whatever its state."""
        cached = self._cache.session(session_id)
        return super().session(session_id) if cached is None else cached.session

    def room(self, room_sid: RoomSid) -> Room | None:
        """By its sid, tombstones included."""
        if (cached := self._cache.room(room_sid)) is not None:
            return cached.room
        room = super().room(room_sid)
        if room is None:
            self._absent.add(room_sid)
        return room

    def room_and_session(self, room_sid: RoomSid) -> tuple[Room | None, Session | None]:
        """The room, tombstones included, and the session that it belongs to."""
        cached = self._cache.room(room_sid)
        if cached is not None and cached.room.session_id is not None:
            return cached.room, self.session(cached.room.session_id)
        room, session = super().room_and_session(room_sid)
        if room is None:
            self._absent.add(room_sid)
        return room, session

    def participant(self, room_sid: RoomSid, sid: ParticipantSid) -> Participant | None:
        """By room and sid, tombstones included."""
        cached = self._cache.room(room_sid)
        return super().participant(room_sid, sid) if cached is None else cached.participants.get(sid)

    def live_participants(self, room_sid: RoomSid) -> Sequence[Participant]:
        """Everybody in the room, by sid."""
        if (cached := self._cache.room(room_sid)) is None:
            return super().live_participants(room_sid)
        found = [each for each in cached.participants.values() if not each.gone]
        return sorted(found, key=attrgetter("sid"))

    def track(self, room_sid: RoomSid, sid: TrackSid) -> Track | None:
        """By room and sid, tombstones included."""
        cached = self._cache.room(room_sid)
        return super().track(room_sid, sid) if cached is None else cached.tracks.get(sid)

    def live_tracks(
        self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None
    ) -> Sequence[Track]:
        """What is published in the room, or by one participant of it, by sid."""
        if (cached := self._cache.room(room_sid)) is None:
            return super().live_tracks(room_sid, participant_sid)
        found = [each for each in cached.tracks.values() if not each.gone and _of(each, participant_sid)]
        return sorted(found, key=attrgetter("sid"))

    def job(self, job_id: JobId, room_sid: RoomSid | None = None) -> Job | None:
        """By its id, ended ones included."""
        cached = self._cache.room_of(job_id) if room_sid is None else self._cache.room(room_sid)
        return super().job(job_id, room_sid) if cached is None else cached.jobs.get(job_id)

    def live_jobs(self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None) -> Sequence[Job]:
        """What is transcribed in the room, or of one participant, by job id."""
        if (cached := self._cache.room(room_sid)) is None:
            return super().live_jobs(room_sid, participant_sid)
        found = [each for each in cached.jobs.values() if each.live and _of(each, participant_sid)]
        return sorted(found, key=attrgetter("job_id"))

    def conversation(self, session_id: SessionId) -> Conversation | None:
        """`None` before anything was said."""
        cached = self._cache.session(session_id)
        return super().conversation(session_id) if cached is None else cached.conversation

    def removal(self, session_id: SessionId, identity: str) -> Removal | None:
        """Until when the identity may not come back, past moments included."""
        cached = self._cache.session(session_id)
        return super().removal(session_id, identity) if cached is None else cached.removals.get(identity)

    def forget_removal(self, session_id: SessionId, identity: str) -> None:
        """The identity may come back; absent is done."""
        super().forget_removal(session_id, identity)
        self._cache.dropped_removal(session_id, identity)

    def drop_reservation(self, session: Session) -> None:
        """Take a reserved session out as if it had never been; `Conflict` when it changed meanwhile."""
        super().drop_reservation(session)
        self.purged_session(session.session_id)

    def purged_session(self, session_id: str) -> None:
        """Rows of it were deleted."""
        self._cache.drop_session(session_id)
        self._cache.drop_rooms_of(session_id)

    def _insert_session(self, session: Session) -> None:
        super()._insert_session(session)
        self._cache.saved_session(replace(session, version=session.version + 1), new=True)

    def _update_session(self, before: Session, after: Session) -> None:
        super()._update_session(before, after)
        self._cache.saved_session(replace(after, version=before.version + 1))

    def _put_conversation(self, conversation: Conversation) -> None:
        super()._put_conversation(conversation)
        self._cache.saved(conversation)

    def _put(self, shape: Shape[Any], changes: Sequence[tuple[Any, Any]]) -> None:
        super()._put(shape, changes)
        for _, each in changes:
            if isinstance(each, Room):
                self._cache.saved_room(each, new=self._is_new(each.room_sid))
            else:
                self._cache.saved(each)

    def _is_new(self, room_sid: RoomSid) -> bool:
        """Whether nothing was there of the room: one that is not known yet may have tombstones of who left it."""
        return room_sid in self._absent and self.row(self._sql.inhabited, room_sid=room_sid) is None


def _of(thing: Track | Job, participant_sid: ParticipantSid | None) -> bool:
    return participant_sid is None or thing.participant_sid == participant_sid
