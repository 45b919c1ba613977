"""What June remembers: sessions, and by LiveKit's sids the rooms, people, tracks and jobs in them.

Promises: values only, frozen; every lifecycle is keyed by sid and goes one way (unseen → live → gone).
Refuses: behaviour, I/O and any vendor's types. `None` for a moment means "not yet".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from schemas.participants import ParticipantKind, TrackSource, TrackType
from schemas.pipeline import StopReason
from schemas.sessions import EndReason, SessionOrigin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.domain.conversation import Conversation

SessionId = NewType("SessionId", str)
RoomSid = NewType("RoomSid", str)
ParticipantSid = NewType("ParticipantSid", str)
TrackSid = NewType("TrackSid", str)
JobId = NewType("JobId", str)
TurnId = NewType("TurnId", str)


class SessionState(StrEnum):
    """`RESERVED` is not seen from outside: its names are taken, its room is still being made."""

    RESERVED = "reserved"
    CREATED = "created"
    ACTIVE = "active"
    ENDED = "ended"


class JobState(StrEnum):
    """`WAITING`: offered, nobody reported yet (or the next attempt is due). `RUNNING`: somebody holds it."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A LiveKit agent that is to be dispatched into the room; `metadata` is LiveKit's raw string."""

    agent_name: str
    metadata: str = ""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One conversation. `version` fences writes: each saved change of anything in the session raises it by one."""

    session_id: SessionId
    user_id: str | None
    display_name: str | None = None
    room_name: str
    room_sid: RoomSid | None = None
    state: SessionState
    origin: SessionOrigin
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    metadata: str | None = None
    """A JSON object in compact form, as the caller gave it; `None` when none was given."""
    stt_enabled: bool
    stt_language: str
    ai_enabled: bool
    ai_speak: bool
    empty_timeout_s: int | None = None
    departure_timeout_s: int | None = None
    max_participants: int | None = None
    token_ttl_s: int | None = None
    agents: tuple[Agent, ...] = ()
    reserved_by: str | None = None
    """The command whose room is being made, by its data and key; another one may take a stale reservation over."""
    reserved_at: datetime | None = None
    missing_since: datetime | None = None
    """Since when LiveKit has no such room, without having said that it finished."""
    tokens_until: datetime | None = None
    """When the last token that June gave out for this session stops working."""
    version: int = 0
    sequence: int = 0
    """The last sequence number used in a message of this session; 0 when there was none."""

    @property
    def live(self) -> bool:
        """Whether it holds its room name."""
        return self.state is not SessionState.ENDED


@dataclass(frozen=True, kw_only=True)
class Room:
    """A LiveKit room by its sid. A gone one stays as a tombstone, so that late events of it start nothing.

    `session_id` is `None` for a room that no session ever had (first seen finished, or not adopted).
    """

    room_sid: RoomSid
    room_name: str
    session_id: SessionId | None
    gone: bool = False
    created_at: datetime | None = None
    """When LiveKit made it; `None`: not known. Of a room that no session ever had, when June heard of it."""


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A person or program in a room, by sid. One that was first seen leaving is gone and never announced."""

    room_sid: RoomSid
    sid: ParticipantSid
    session_id: SessionId
    identity: str
    name: str = ""
    kind: ParticipantKind = ParticipantKind.STANDARD
    metadata: str = ""
    joined_at: datetime
    bot: bool = False
    """One of June's own; it never appears in what June tells others."""
    gone: bool = False


@dataclass(frozen=True, kw_only=True)
class Track:
    """A published track, by sid. `announced` once its participant is known and the event was sent."""

    room_sid: RoomSid
    sid: TrackSid
    session_id: SessionId
    participant_sid: ParticipantSid
    identity: str
    type: TrackType = TrackType.AUDIO
    source: TrackSource = TrackSource.UNKNOWN
    name: str = ""
    mime_type: str = ""
    announced: bool = False
    gone: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """The transcription of one voice. `job_id` names the voice and stays the same over attempts."""

    job_id: JobId
    session_id: SessionId
    room_sid: RoomSid
    room_name: str
    track_sid: TrackSid
    participant_sid: ParticipantSid
    identity: str
    participant_name: str
    kind: ParticipantKind
    source: TrackSource
    mime_type: str
    language: str
    state: JobState = JobState.WAITING
    attempt: int = 1
    holder: str | None = None
    """The instance that reported `running` first for this attempt."""
    deadline: datetime | None = None
    """When the lease runs out; `None` while the next attempt waits for its backoff, and after the end."""
    retry_at: datetime | None = None
    """When the next attempt is to be offered; `None` unless one is due."""
    running_since: datetime | None = None
    """Since when this attempt has been held; held for a whole lease, it resets `failures`."""
    failures: int = 0
    """Attempts lost in a row; decides the backoff."""
    ended_at: datetime | None = None
    reason: StopReason | None = None
    """Why it was stopped; `None` while it lives, and when it completed by itself."""
    completed: bool = False

    @property
    def live(self) -> bool:
        """Whether somebody may hold it or is to be offered it."""
        return self.state is not JobState.ENDED


@dataclass(frozen=True, kw_only=True)
class Removal:
    """An identity that was removed from a session and may not come back before `until` (its last token's end)."""

    session_id: SessionId
    identity: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class TurnRef:
    """Which session a turn belongs to, so that late answers find it after it left the conversation."""

    turn_id: TurnId
    session_id: SessionId
    room_name: str


@dataclass(frozen=True, kw_only=True)
class State:
    """The slice of the store that one fact is about, and after a decision the same slice as it shall be.

    A decision changes it with `dataclasses.replace` and the helpers of `worker.domain.changes`; what differs from
    the loaded slice is saved. Entries are never taken out: what is over stays as `gone` or `ended`.
    """

    session: Session | None = None
    rooms: Mapping[RoomSid, Room] = field(default_factory=dict)
    participants: Mapping[tuple[RoomSid, ParticipantSid], Participant] = field(default_factory=dict)
    tracks: Mapping[tuple[RoomSid, TrackSid], Track] = field(default_factory=dict)
    jobs: Mapping[JobId, Job] = field(default_factory=dict)
    turns: Mapping[TurnId, TurnRef] = field(default_factory=dict)
    utterances: frozenset[tuple[JobId, str]] = frozenset()
    """Finals that were taken already, of those that the fact names."""
    conversation: Conversation | None = None
    removals: Mapping[str, Removal] = field(default_factory=dict)
    """By identity, of those that the fact names."""
    adopted_id_taken: bool = False
    """Whether a session has the id that an unknown room's would get: clients choose ids freely."""
    shut_until: datetime | None = None
    """Until when tokens of a deleted session can still bring this room name back; `None` when none can."""
