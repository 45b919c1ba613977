"""What happened, as the domain takes it: LiveKit's webhooks, reports of the services, time, and what was observed.

Promises: values only, frozen. `at` is when it happened by the clock of its sender, for display; order is never taken
from it, but for rooms of one name: `room_created_at`, or `at` where that is not told, tells which of them is over.
Refuses: wire formats; adapters translate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.participants import ParticipantKind, TrackSource, TrackType
from schemas.reports import Report
from worker.domain.model import ParticipantSid, RoomSid, SessionId, TrackSid


@dataclass(frozen=True, kw_only=True, slots=True)
class InRoom:
    """Common to what LiveKit tells of a room."""

    room_sid: RoomSid
    room_name: str
    at: datetime
    room_created_at: datetime | None = None
    """When LiveKit made the room, where it says so: of two rooms of a name the later one is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomStarted(InRoom):
    """The room is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomFinished(InRoom):
    """The room with this sid is over, for good."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomMissing(InRoom):
    """LiveKit has this room no more, and never said that it finished. Observed, and confirmed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomRevived(InRoom):
    """LiveKit has this room again, or still, although it was over. Observed, and confirmed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParticipantJoined(InRoom):
    """Somebody is in the room; `metadata` is LiveKit's raw string."""

    sid: ParticipantSid
    identity: str
    name: str
    kind: ParticipantKind
    metadata: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ParticipantLeft(InRoom):
    """The participant with this sid is out of the room, or died before it was in (connection aborted)."""

    sid: ParticipantSid
    identity: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackPublished(InRoom):
    """A track is there. It carries no kind of participant: that is joined by sid."""

    sid: TrackSid
    participant_sid: ParticipantSid
    identity: str
    type: TrackType
    source: TrackSource
    name: str
    mime_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackUnpublished(InRoom):
    """The track with this sid is over."""

    sid: TrackSid
    participant_sid: ParticipantSid
    identity: str


RoomFact = (
    RoomStarted
    | RoomFinished
    | RoomMissing
    | RoomRevived
    | ParticipantJoined
    | ParticipantLeft
    | TrackPublished
    | TrackUnpublished
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """A service reported on a job or turn of June's. `source` is the instance's name."""

    source: str
    report: Report


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeCame:
    """A moment that the domain asked for with `Wake` is there, or past. May come twice or late: look at the state."""

    session_id: SessionId
    key: str


Fact = RoomFact | Reported | TimeCame
