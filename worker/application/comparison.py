"""What June knows of a room against what LiveKit has: the facts that would make them agree. Pure.

Promises: facts in an order that can be decided as it is: arrivals before tracks, ends of tracks before leaves.
Refuses: to call something gone that it is not told twice; who asks does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.participants import ParticipantKind, ParticipantState, TrackSource, TrackType
from worker.application.ports import LiveParticipant
from worker.domain.facts import (
    ParticipantJoined,
    ParticipantLeft,
    RoomFact,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.model import Participant, ParticipantSid, RoomSid, Track, TrackSid


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What June knows as live in a room, and by sid whatever it ever knew of those that LiveKit has."""

    participants: tuple[Participant, ...]
    tracks: tuple[Track, ...]
    participants_ever: frozenset[ParticipantSid]
    tracks_ever: frozenset[TrackSid]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vanished:
    """What June knows as live and LiveKit does not have."""

    participants: frozenset[ParticipantSid]
    tracks: frozenset[TrackSid]

    def __bool__(self) -> bool:
        return bool(self.participants or self.tracks)

    def __and__(self, other: Vanished) -> Vanished:
        """What both lists lack."""
        return Vanished(
            participants=self.participants & other.participants, tracks=self.tracks & other.tracks
        )


def vanished(known: Known, people: Sequence[LiveParticipant]) -> Vanished:
    """What one list of LiveKit's lacks."""
    there = {one.sid for one in people}
    tracks = {track.sid for one in people for track in one.tracks}
    return Vanished(
        participants=frozenset(each.sid for each in known.participants if each.sid not in there),
        tracks=frozenset(each.sid for each in known.tracks if each.sid not in tracks),
    )


def arrivals(
    room_sid: RoomSid, room_name: str, known: Known, people: Iterable[LiveParticipant], at: datetime
) -> list[RoomFact]:
    """Who and what LiveKit has and June never saw. Somebody whose connection is not up yet is left to the webhook."""
    facts: list[RoomFact] = []
    for one in people:
        if one.state != ParticipantState.ACTIVE:
            continue
        if one.sid not in known.participants_ever:
            facts.append(
                ParticipantJoined(
                    room_sid=room_sid,
                    room_name=room_name,
                    at=one.joined_at or at,
                    sid=ParticipantSid(one.sid),
                    identity=one.identity,
                    name=one.name,
                    kind=ParticipantKind(one.kind),
                    metadata=one.metadata,
                )
            )
        facts += [
            TrackPublished(
                room_sid=room_sid,
                room_name=room_name,
                at=at,
                sid=TrackSid(track.sid),
                participant_sid=ParticipantSid(one.sid),
                identity=one.identity,
                type=TrackType(track.type),
                source=TrackSource(track.source),
                name=track.name,
                mime_type=track.mime_type,
            )
            for track in one.tracks
            if track.sid not in known.tracks_ever
        ]
    return facts


def departures(
    room_sid: RoomSid, room_name: str, known: Known, gone: Vanished, at: datetime
) -> list[RoomFact]:
    """The ends of what is gone. A participant's leave ends its tracks, too."""
    tracks: list[RoomFact] = [
        TrackUnpublished(
            room_sid=room_sid,
            room_name=room_name,
            at=at,
            sid=track.sid,
            participant_sid=track.participant_sid,
            identity=track.identity,
        )
        for track in known.tracks
        if track.sid in gone.tracks and track.participant_sid not in gone.participants
    ]
    leaves: list[RoomFact] = [
        ParticipantLeft(room_sid=room_sid, room_name=room_name, at=at, sid=each.sid, identity=each.identity)
        for each in known.participants
        if each.sid in gone.participants
    ]
    return [*tracks, *leaves]
