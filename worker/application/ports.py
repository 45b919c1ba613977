"""What the use cases need from outside: a store of whole transactions, LiveKit, a way to publish, tokens, a clock.

Promises: small, named for the need. Adapters map their drivers' errors to the classes of `worker.application.failures`,
once; nothing else crosses these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from worker.domain.conversation import Conversation
from worker.domain.model import (
    Agent,
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

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OutboxMessage:
    """A message that is to be published, exactly as its bytes are. `position` is given by the store, rising."""

    message_id: str
    session_id: str | None
    cause: str
    """The key of the message that caused it; its copies find by it what is still to be sent."""
    correlation_id: str
    """The id of the message that caused it, as it is told to receivers."""
    exchange: str
    routing_key: str
    type: str
    body: bytes
    created_at: datetime
    expires_after: timedelta | None = None
    position: int = 0


class ErrandKind(StrEnum):
    """What LiveKit is to be asked."""

    CLOSE_ROOM = "close_room"
    REMOVE_PARTICIPANT = "remove_participant"
    LOOK_AT_ROOM = "look_at_room"
    """Compare it with LiveKit: something that happened in it could not be handled."""


@dataclass(frozen=True, kw_only=True)
class RoomErrand:
    """Something that LiveKit is to be asked until it is done. `identity` is of who is to be removed."""

    kind: ErrandKind
    room_name: str
    identity: str | None = None
    session_id: str | None = None
    due_at: datetime
    attempts: int = 0
    errand_id: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command was answered, without its tokens. `digest` is of its type and data."""

    key: str
    digest: str
    outcome: Mapping[str, Any]
    answered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPage:
    """One page of a listing, newest first. `after` is the place of its last row, `None` when there is no more."""

    sessions: tuple[Session, ...]
    after: tuple[datetime, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionCounts:
    """A live session with what June knows to be in its room, without agents and egress, as LiveKit counts."""

    session_id: str
    room_name: str
    room_sid: RoomSid
    created_at: datetime
    missing_since: datetime | None
    participants: int
    publishers: int


@dataclass(frozen=True, kw_only=True)
class DueTimer:
    """A moment that the domain asked for and that has come."""

    session_id: SessionId
    room_name: str
    key: str
    due_at: datetime


class Transaction(Protocol):
    """All reads and writes of one unit of work. Synchronous: it runs inside the store. Nothing of it is seen before
    the commit, and nothing of it remains when its work raises."""

    def seen(self, message_id: str) -> bool:
        """Whether the inbox has this message."""
        ...

    def mark_seen(self, message_id: str, now: datetime) -> bool:
        """Put the message into the inbox. False when it was there: then nothing is changed."""
        ...

    def session(self, session_id: str) -> Session | None: ...
    def live_session(self, room_name: str) -> Session | None:
        """The one session that holds the room name, a reserved one included."""
        ...

    def room(self, room_sid: RoomSid) -> Room | None: ...
    def room_and_session(self, room_sid: RoomSid) -> tuple[Room | None, Session | None]:
        """The room, and the session that it belongs to."""
        ...

    def participant(self, room_sid: RoomSid, sid: ParticipantSid) -> Participant | None: ...
    def live_participants(self, room_sid: RoomSid) -> Sequence[Participant]: ...
    def track(self, room_sid: RoomSid, sid: TrackSid) -> Track | None: ...
    def live_tracks(
        self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None
    ) -> Sequence[Track]: ...
    def job(self, job_id: JobId, room_sid: RoomSid | None = None) -> Job | None:
        """By its id. `room_sid`: the room that it is about, where that is known; it saves the store a look."""
        ...

    def live_jobs(
        self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None
    ) -> Sequence[Job]: ...
    def conversation(self, session_id: SessionId) -> Conversation | None: ...
    def turn(self, turn_id: TurnId) -> TurnRef | None: ...
    def utterance_taken(self, job_id: JobId, utterance_id: str) -> bool: ...
    def removal(self, session_id: SessionId, identity: str) -> Removal | None: ...
    def shut_until(self, room_name: str, now: datetime) -> datetime | None:
        """The latest `tokens_until` after `now` of deleted sessions that had this room name."""
        ...

    def save(self, before: State, after: State) -> None:
        """Write what differs. Raises `Conflict` when the session is not at `before.session.version` any more, or its
        id or live room name was taken meanwhile. The session's version rises by one when anything differs."""
        ...

    def forget_removal(self, session_id: SessionId, identity: str) -> None: ...
    def drop_reservation(self, session: Session) -> None:
        """Take a reserved session out as if it had never been; `Conflict` when it changed meanwhile."""
        ...

    def put_outbox(self, messages: Sequence[OutboxMessage]) -> Sequence[OutboxMessage]:
        """Store them, in this order; returns them with their `position`."""
        ...

    def outbox_of(self, cause: str) -> Sequence[OutboxMessage]:
        """What is still to be sent of one message's effects, in order."""
        ...

    def set_timer(self, session_id: SessionId, room_name: str, key: str, due_at: datetime) -> None: ...
    def put_errand(self, errand: RoomErrand, *, claim: timedelta = timedelta(0)) -> int:
        """Store it; returns its id. `due_errands` does not give it before `claim` has passed since its `due_at`."""
        ...

    def errands_of_room(self, room_name: str) -> Sequence[RoomErrand]: ...
    def answer(self, key: str) -> Answer | None: ...
    def remember(self, answer: Answer) -> None: ...
    def list_sessions(
        self,
        *,
        user_id: str | None,
        state: str | None,
        room_name: str | None,
        limit: int,
        after: tuple[datetime, str] | None,
    ) -> SessionPage:
        """Newest first by (created_at, session_id); reserved ones are not listed. `state` is the wire status."""
        ...


Work = Callable[[Transaction], T]


class Store(Protocol):
    """Sessions and everything that must commit together with them."""

    async def start(self) -> None:
        """Bring the schema up to date and begin. Waits for the database as long as it takes, and says so."""
        ...

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Run one work in a transaction of its own, committed when this returns. A `Conflict` runs it again on fresh
        state, a bounded number of times. Raises what the work raised, or `StoreUnavailable`; nothing is changed then.
        """
        ...

    async def run_many(self, works: Sequence[Callable[[Transaction], T]]) -> Sequence[T | Exception]:
        """Run each in a transaction of its own, in this order, but with as few real commits as possible. A work that
        raised has its exception in its place and changed nothing. Raises `StoreUnavailable` for all of them at once."""
        ...

    async def published(self, positions: Sequence[int]) -> None:
        """Forget outbox rows that the broker confirmed. May be done later, together with others; never lost twice:
        a row that comes back is sent again with the same id and bytes."""
        ...

    async def unsent(self, *, older_than: datetime, limit: int) -> Sequence[OutboxMessage]:
        """What a crash or an outage left in the outbox, oldest first. Each row goes to one worker, for a while."""
        ...

    async def due_timers(self, now: datetime, *, limit: int, claim: timedelta) -> Sequence[DueTimer]:
        """Take timers that are due; they are not given again before `claim` has passed."""
        ...

    async def done_timer(self, timer: DueTimer) -> None:
        """Forget it, unless it was set anew meanwhile."""
        ...

    async def due_errands(self, now: datetime, *, limit: int, claim: timedelta) -> Sequence[RoomErrand]:
        """Take errands that are due; they are not given again before `claim` has passed."""
        ...

    async def done_errand(self, errand_id: int) -> None: ...
    async def retry_errand(self, errand_id: int, due_at: datetime) -> None: ...
    async def claim(self, name: str, holder: str, *, now: datetime, until: datetime) -> int:
        """Take the duty `name` until then. Which round of it this is, from 1 on; 0 when somebody has it, whoever."""
        ...

    async def hold(self, name: str, holder: str, *, until: datetime, done: bool = False) -> None:
        """Keep a duty until then, and with `done` say that its round is complete. Nothing, if it is another one's."""
        ...

    async def live_counts(self) -> Sequence[SessionCounts]:
        """Every live session with a room, counted as LiveKit counts."""
        ...

    async def purge(self, now: datetime, *, retention: timedelta, limit: int) -> int:
        """Delete up to about `limit` rows that nobody needs any more; how many it were, 0 when there are none."""
        ...

    async def check(self) -> None:
        """Raise `StoreUnavailable` when it cannot be reached; quick."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRoom:
    """A room as LiveKit has it now. `metadata` is its raw string; moments are UTC."""

    name: str
    sid: str
    num_participants: int
    num_publishers: int
    created_at: datetime | None
    empty_timeout_s: int
    departure_timeout_s: int
    max_participants: int
    metadata: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveTrack:
    """A track as LiveKit has it now; `type` and `source` in the contract's words."""

    sid: str
    type: str
    source: str
    name: str
    muted: bool
    mime_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveParticipant:
    """A participant as LiveKit has it now; `kind` and `state` in the contract's words, June's bots included."""

    sid: str
    identity: str
    name: str
    kind: str
    state: str
    joined_at: datetime | None
    metadata: str
    tracks: tuple[LiveTrack, ...]


class LiveKit(Protocol):
    """LiveKit's server API, by meaning. Every call ends within its deadline. Raises `LiveKitUnavailable` (unreachable,
    or unknown outcome: asking again is right), `LiveKitRefused` (asking again is not)."""

    async def create_room(
        self,
        *,
        name: str,
        empty_timeout_s: int,
        departure_timeout_s: int,
        max_participants: int | None,
        agents: Sequence[Agent] = (),
    ) -> LiveRoom:
        """Make the room with these agents, or return the one that is there, unchanged."""
        ...

    async def delete_room(self, name: str) -> None:
        """Close the room; absent is done."""
        ...

    async def room(self, name: str) -> LiveRoom | None: ...
    async def rooms(self, names: Sequence[str] | None = None) -> Sequence[LiveRoom]:
        """All rooms, or those of these names."""
        ...

    async def participants(self, room_name: str) -> Sequence[LiveParticipant]:
        """Who is in the room now; nobody when there is no such room."""
        ...

    async def remove_participant(self, room_name: str, identity: str) -> bool:
        """Take somebody out; whether there was somebody."""
        ...

    async def dispatch_agents(self, room_name: str, agents: Sequence[Agent]) -> None:
        """Have the agents come into a room that is there, once: an equal dispatch is enough."""
        ...

    async def check(self) -> None:
        """Raise `LiveKitUnavailable` when it cannot be reached; quick."""
        ...

    async def close(self) -> None: ...


class Tokens(Protocol):
    """Access tokens for one room, made locally. Never stored, never printed."""

    def person(
        self,
        *,
        room_name: str,
        identity: str,
        name: str | None,
        now: datetime,
        ttl: timedelta,
        can_publish: bool = True,
        can_subscribe: bool = True,
        can_publish_data: bool = True,
    ) -> str:
        """For a user or guest."""
        ...

    def transcriber(self, *, room_name: str, identity: str, now: datetime) -> str:
        """Kind agent, hidden, subscribe only; lives for `JUNE_BOT_TOKEN_TTL_S`."""
        ...

    def speaker(self, *, room_name: str, identity: str, now: datetime) -> str:
        """Kind agent, may publish a microphone track; lives for `JUNE_BOT_TOKEN_TTL_S`."""
        ...


class Publisher(Protocol):
    """Confirmed publishing."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Return when the broker has confirmed all, in this order. A message of a type that nobody subscribes to is
        fine. Raises `BrokerUnavailable`: some may have arrived; sending all again is right (same ids, same bytes)."""
        ...


class Clock(Protocol):
    """UTC now."""

    def now(self) -> datetime: ...
