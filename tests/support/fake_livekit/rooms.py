"""The rooms of the fake: who is in them, what is published, when they end, and the events that tell of it.

Promises: events in the order in which the real server sends them, with the fields that it fills. Synchronous; the
clock is the caller's. Refuses what the real one has and June does not use: permissions in force, data, mute, egress.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from livekit.protocol.agent_dispatch import AgentDispatch, AgentDispatchState
from livekit.protocol.models import (
    ClientInfo,
    Codec,
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    Room,
    SimulcastCodecInfo,
    TimedVersion,
    TrackInfo,
    TrackSource,
    TrackType,
    VideoLayer,
)
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.webhook import WebhookEvent

_CODECS = ("audio/PCMU", "audio/PCMA", "audio/opus", "audio/red", "video/VP8", "video/H264", "video/VP9",
           "video/AV1", "video/H265", "video/rtx")  # fmt: skip
_COUNTS_ARE_KEPT = timedelta(seconds=5)
_NOT_PRESENT = frozenset({ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.EGRESS})
"""Kinds that neither count nor keep a room open."""


@dataclass(kw_only=True, slots=True)
class FakeRoom:
    """A room that is there."""

    info: Room
    participants: dict[str, ParticipantInfo] = field(default_factory=dict)
    """By identity: a second one with it takes the first one's place."""
    dispatches: list[AgentDispatch] = field(default_factory=list)
    counted_at: datetime
    joined: bool = False
    """Whether anybody was ever present."""
    last_left_at: datetime

    def present(self) -> Iterator[ParticipantInfo]:
        """Those who keep the room open."""
        return (one for one in self.participants.values() if one.kind not in _NOT_PRESENT)


class FakeRooms:
    """All rooms of one server. `emit` is given each event once, when it happens."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        emit: Callable[[WebhookEvent], None],
        empty_timeout: timedelta,
        departure_timeout: timedelta,
        make_id: Callable[[str], str] | None = None,
    ) -> None:
        self._now = now
        self._emit = emit
        self._new_id = make_id or new_id
        self._empty_timeout_s = int(empty_timeout.total_seconds())
        self._departure_timeout_s = int(departure_timeout.total_seconds())
        self._rooms: dict[str, FakeRoom] = {}

    def get(self, name: str) -> FakeRoom | None:
        """The room as it is now, with counts as old as the real one's."""
        room = self._rooms.get(name)
        if room is not None:
            self._count(room)
        return room

    def all(self) -> list[FakeRoom]:
        """Every room that is there."""
        return [room for name in list(self._rooms) if (room := self.get(name))]

    def create(self, request: CreateRoomRequest) -> FakeRoom:
        """The room that is there, unchanged, or a new one with a sid of its own."""
        room = self.get(request.name)
        if room is not None:
            return room
        now = self._now()
        info = Room(
            sid=self._new_id("RM_"),
            name=request.name,
            empty_timeout=request.empty_timeout or self._empty_timeout_s,
            departure_timeout=request.departure_timeout or self._departure_timeout_s,
            max_participants=request.max_participants,
            metadata=request.metadata,
            creation_time=int(now.timestamp()),
            creation_time_ms=_milliseconds(now),
            turn_password=secrets.token_urlsafe(32),
            enabled_codecs=[Codec(mime=mime) for mime in _CODECS],
        )
        room = FakeRoom(info=info, counted_at=now, last_left_at=now)
        for agent in request.agents:
            self.dispatch(room, agent.agent_name, agent.metadata)
        self._rooms[request.name] = room
        self._emit(WebhookEvent(event="room_started", room=info))
        return room

    def dispatch(self, room: FakeRoom, agent_name: str, metadata: str) -> AgentDispatch:
        """An agent is asked into the room."""
        dispatch = AgentDispatch(
            id=self._new_id("AD_"),
            agent_name=agent_name,
            room=room.info.name,
            metadata=metadata,
            state=AgentDispatchState(),
        )
        room.dispatches.append(dispatch)
        return dispatch

    def join(
        self,
        room_name: str,
        identity: str,
        *,
        kind: ParticipantInfo.Kind,
        name: str,
        metadata: str,
        permission: ParticipantPermission,
        active: bool = True,
    ) -> ParticipantInfo:
        """Somebody comes in; a room that is not there is made. Not `active`: the connection comes to nothing."""
        room = self.create(CreateRoomRequest(name=room_name))
        if identity in room.participants:
            self.leave(room_name, identity, DisconnectReason.DUPLICATE_IDENTITY)
        info = self._participant(identity, kind=kind, name=name, metadata=metadata, permission=permission)
        if not active:
            info.state = ParticipantInfo.State.DISCONNECTED
            self._emit(WebhookEvent(event="participant_connection_aborted", room=room.info, participant=info))
            return info
        room.participants[identity] = info
        room.joined = room.joined or kind not in _NOT_PRESENT
        self._emit(WebhookEvent(event="participant_joined", room=room.info, participant=info))
        return info

    def leave(self, room_name: str, identity: str, reason: DisconnectReason) -> bool:
        """Somebody goes, tracks first; whether there was somebody."""
        room = self.get(room_name)
        if room is None or identity not in room.participants:
            return False
        info = room.participants[identity]
        # Last one first: the real server keeps no order here, so nobody may rely on one.
        for track in reversed(list(info.tracks)):
            self.unpublish(room_name, track.sid)
        del room.participants[identity]
        if info.kind not in _NOT_PRESENT:
            room.last_left_at = self._now()
        info.state = ParticipantInfo.State.DISCONNECTED
        info.disconnect_reason = reason
        info.version += 1
        self._emit(WebhookEvent(event="participant_left", room=room.info, participant=info))
        return True

    def publish(
        self,
        room_name: str,
        identity: str,
        *,
        name: str,
        type_: TrackType,
        source: TrackSource,
        mime_type: str,
        muted: bool,
    ) -> TrackInfo:
        """A track is there. Raises `KeyError` when its publisher is not."""
        room = self._rooms[room_name]
        publisher = room.participants[identity]
        mid = str(len(publisher.tracks))
        track = TrackInfo(
            sid=self._new_id(f"TR_{TrackType.Name(type_)[0]}"),
            name=name,
            type=type_,
            source=source,
            mime_type=mime_type,
            muted=muted,
            mid=mid,
            codecs=[
                SimulcastCodecInfo(
                    mime_type=mime_type,
                    mid=mid,
                    cid=new_id("c"),
                    video_layer_mode=VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM,
                )
            ],
            stream=TrackSource.Name(source).lower(),
            version=TimedVersion(unix_micro=_milliseconds(self._now()) * 1000),
            backup_codec_policy="SIMULCAST",
        )
        publisher.tracks.append(track)
        publisher.is_publisher = True
        publisher.version += 1
        self._emit_track("track_published", room, publisher, track)
        return track

    def unpublish(self, room_name: str, track_sid: str) -> None:
        """A track is over. Raises `KeyError` when there is none."""
        room = self._rooms[room_name]
        for publisher in room.participants.values():
            for index, track in enumerate(publisher.tracks):
                if track.sid == track_sid:
                    gone = TrackInfo.FromString(track.SerializeToString())
                    del publisher.tracks[index]
                    publisher.version += 1
                    self._emit_track("track_unpublished", room, publisher, gone)
                    return
        raise KeyError(track_sid)

    def finish(self, room_name: str, reason: DisconnectReason) -> bool:
        """The room ends, whoever is in it first; whether it was there."""
        room = self.get(room_name)
        if room is None:
            return False
        for identity in list(room.participants):
            self.leave(room_name, identity, reason)
        del self._rooms[room_name]
        self._emit(WebhookEvent(event="room_finished", room=room.info))
        return True

    def age(self) -> None:
        """End the rooms whose time has come."""
        for room in list(self._rooms.values()):
            if not any(room.present()) and self._now() >= self._ends_at(room):
                self.finish(room.info.name, DisconnectReason.ROOM_CLOSED)

    def vanish(self) -> None:
        """All is gone, and nobody is told."""
        self._rooms.clear()

    def _ends_at(self, room: FakeRoom) -> datetime:
        if room.joined:
            return room.last_left_at + timedelta(seconds=room.info.departure_timeout)
        return room.last_left_at + timedelta(seconds=room.info.empty_timeout)

    def _count(self, room: FakeRoom) -> None:
        if self._now() - room.counted_at >= _COUNTS_ARE_KEPT:
            room.counted_at = self._now()
            room.info.num_participants = len(list(room.present()))
            room.info.num_publishers = sum(one.is_publisher for one in room.present())

    def _participant(
        self,
        identity: str,
        *,
        kind: ParticipantInfo.Kind,
        name: str,
        metadata: str,
        permission: ParticipantPermission,
    ) -> ParticipantInfo:
        now = self._now()
        return ParticipantInfo(
            sid=self._new_id("PA_"),
            identity=identity,
            state=ParticipantInfo.State.ACTIVE,
            kind=kind,
            name=name,
            metadata=metadata,
            joined_at=int(now.timestamp()),
            joined_at_ms=_milliseconds(now),
            version=2,
            permission=permission,
            client_protocol=2,
            capabilities=[
                ClientInfo.Capability.CAP_PACKET_TRAILER,
                ClientInfo.Capability.CAP_COMPRESSION_DEFLATE_RAW,
            ],
        )

    def _emit_track(self, event: str, room: FakeRoom, publisher: ParticipantInfo, track: TrackInfo) -> None:
        self._emit(
            WebhookEvent(
                event=event,
                room=Room(sid=room.info.sid, name=room.info.name),
                participant=ParticipantInfo(sid=publisher.sid, identity=publisher.identity),
                track=track,
            )
        )


def new_id(prefix: str) -> str:
    """An id as LiveKit makes them: `PA_` and twelve characters."""
    return prefix + secrets.token_hex(6)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
