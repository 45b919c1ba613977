"""A write-through cache of one connection: live sessions and rooms whose first row it wrote itself, with all in them.

Promises: it holds what the tables hold, if it is told of every write (`saved…`, `dropped…`), of every rollback
(`undone`) and, as a transaction begins, whether anybody else wrote (`begin`). A room is here whole or not at all: what
is not in one that is here is nowhere. Small: at most `SESSIONS` and `ROOMS`, the oldest go first, and a room with more
than `ROWS` in it is left to the database.
Refuses: to learn from reading, which never shows a whole room, and to keep what is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.domain.conversation import Conversation
from worker.domain.model import (
    Job,
    JobId,
    Participant,
    ParticipantSid,
    Removal,
    Room,
    RoomSid,
    Session,
    Track,
    TrackSid,
    TurnRef,
)

SESSIONS = 512
ROOMS = 512
ROWS = 64

Entity = Participant | Track | Job | Conversation | Removal | TurnRef


@dataclass(kw_only=True, slots=True)
class CachedSession:
    """A session with what it alone has."""

    session: Session
    conversation: Conversation | None = None
    removals: dict[str, Removal] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class CachedRoom:
    """A room with everything that ever was in it."""

    room: Room
    participants: dict[ParticipantSid, Participant] = field(default_factory=dict)
    tracks: dict[TrackSid, Track] = field(default_factory=dict)
    jobs: dict[JobId, Job] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How much there is in it."""
        return len(self.participants) + len(self.tracks) + len(self.jobs)


class Cache:
    """`None` from a look-up means: ask the database."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._sessions: dict[str, CachedSession] = {}
        self._rooms: dict[RoomSid, CachedRoom] = {}
        self._room_of: dict[JobId, RoomSid] = {}
        self._touched: set[str] = set()
        """Sessions and rooms that the transaction changed."""

    def begin(self, version: int) -> None:
        """A transaction begins; `version` has changed when somebody else wrote since the last one."""
        if version != self._version:
            self.clear()
            self._version = version
        self._touched.clear()

    def undone(self) -> None:
        """What the transaction wrote, or a part of it, was taken back."""
        for name in self._touched:
            self.drop_session(name)
            self.drop_room(RoomSid(name))
        self._touched.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._sessions.clear()
        self._rooms.clear()
        self._room_of.clear()

    def session(self, session_id: str) -> CachedSession | None:
        """By its id."""
        return self._sessions.get(session_id)

    def room(self, room_sid: RoomSid) -> CachedRoom | None:
        """By its sid."""
        return self._rooms.get(room_sid)

    def room_of(self, job_id: JobId) -> CachedRoom | None:
        """The one that has this job."""
        room_sid = self._room_of.get(job_id)
        return None if room_sid is None else self._rooms[room_sid]

    def saved_session(self, session: Session, *, new: bool = False) -> None:
        """It stands so in its table; `new`: there was nothing of that id."""
        self._touched.add(session.session_id)
        cached = self._sessions.get(session.session_id)
        if not session.live:
            self.drop_session(session.session_id)
        elif cached is not None:
            cached.session = session
        elif new:
            if len(self._sessions) >= SESSIONS:
                self.drop_session(next(iter(self._sessions)))
            self._sessions[session.session_id] = CachedSession(session=session)

    def saved_room(self, room: Room, *, new: bool) -> None:
        """It stands so in its table, and what is in it follows; `new`: there was nothing of that sid in any table."""
        self._touched.add(room.room_sid)
        cached = self._rooms.get(room.room_sid)
        if room.gone:
            self.drop_room(room.room_sid)
        elif cached is not None:
            cached.room = room
        elif new:
            if len(self._rooms) >= ROOMS:
                self.drop_room(next(iter(self._rooms)))
            self._rooms[room.room_sid] = CachedRoom(room=room)

    def saved(self, entity: Entity) -> None:
        """It stands so in its table, and its session was saved just before."""
        match entity:
            case Participant() if (room := self._changing(entity.room_sid)) is not None:
                room.participants[entity.sid] = entity
            case Track() if (room := self._changing(entity.room_sid)) is not None:
                room.tracks[entity.sid] = entity
            case Job() if (room := self._changing(entity.room_sid)) is not None:
                room.jobs[entity.job_id] = entity
                self._room_of[entity.job_id] = entity.room_sid
            case Conversation() if (cached := self._sessions.get(entity.session_id)) is not None:
                cached.conversation = entity
            case Removal() if (cached := self._sessions.get(entity.session_id)) is not None:
                cached.removals[entity.identity] = entity
            case _:
                pass

    def dropped_removal(self, session_id: str, identity: str) -> None:
        """It is in its table no more."""
        self._touched.add(session_id)
        if (cached := self._sessions.get(session_id)) is not None:
            cached.removals.pop(identity, None)

    def drop_session(self, session_id: str) -> None:
        """Ask the database for it from now on."""
        self._sessions.pop(session_id, None)

    def drop_room(self, room_sid: RoomSid) -> None:
        """Ask the database for it, and for all in it, from now on."""
        if (cached := self._rooms.pop(room_sid, None)) is not None:
            for job_id in cached.jobs:
                del self._room_of[job_id]

    def drop_rooms_of(self, session_id: str) -> None:
        """Ask the database for all rooms of this session from now on. Looks at every room."""
        for room_sid in [sid for sid, each in self._rooms.items() if each.room.session_id == session_id]:
            self.drop_room(room_sid)

    def _changing(self, room_sid: RoomSid) -> CachedRoom | None:
        """The room, before something in it is put down; one with too much in it is dropped."""
        cached = self._rooms.get(room_sid)
        if cached is None:
            return None
        self._touched.add(room_sid)
        if cached.rows >= ROWS:
            self.drop_room(room_sid)
            return None
        return cached
