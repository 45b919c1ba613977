"""LiveKit in memory: the rooms of the fake server behind June's own port, without HTTP and on the test's clock.

Promises: deterministic; what happens in rooms is queued in `webhooks`, as bodies in LiveKit's order, and nothing sends
it. Switches make it go away and make its lists stale. Refuses what `FakeLiveKit` is for: the wire, tokens, timeouts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from livekit.protocol.models import (
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackSource,
    TrackType,
)
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.webhook import WebhookEvent

from tests.support.fake_livekit.rooms import FakeRoom, FakeRooms
from worker.adapters.livekit.server_api import _live_participant as as_live_participant
from worker.adapters.livekit.server_api import _live_room as as_live_room
from worker.application.failures import LiveKitRefused, LiveKitUnavailable
from worker.application.ports import LiveParticipant, LiveRoom
from worker.domain.model import Agent


class MemoryLiveKit:
    """`worker.application.ports.LiveKit`, and what people do in its rooms. `calls` names what was asked, in order."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        ids = itertools.count(1)
        self._new_id: Callable[[str], str] = lambda prefix: f"{prefix}{next(ids)}"
        self.webhooks: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.down = False
        self.down_after: int | None = None
        """So many calls are answered yet."""
        self.unseen: list[set[str]] = []
        """Whom the next lists of participants lack, list by list."""
        self.unlisted: set[str] = set()
        """Rooms that lists of all rooms lack."""
        self.unknown: dict[str, int] = {}
        """How often yet a room is not found by its name."""
        self.rooms_there = FakeRooms(
            now=now,
            emit=self._emit,
            empty_timeout=timedelta(seconds=300),
            departure_timeout=timedelta(seconds=20),
            make_id=self._new_id,
        )

    def _emit(self, event: WebhookEvent) -> None:
        event.id = self._new_id("EV_")
        event.created_at = int(self._now().timestamp())
        self.webhooks.append(MessageToDict(event))

    # What happens in rooms.

    def join(self, room: str, identity: str, *, kind: str = "standard") -> str:
        """Somebody comes in, and the room is made where it is not there. The participant's sid."""
        return self.rooms_there.join(
            room,
            identity,
            kind=cast("ParticipantInfo.Kind", ParticipantInfo.Kind.Value(kind.upper())),
            name="",
            metadata="",
            permission=ParticipantPermission(can_subscribe=True),
        ).sid

    def publish(self, room: str, identity: str, *, source: str = "microphone") -> str:
        """An audio track is there. Its sid."""
        return self.rooms_there.publish(
            room,
            identity,
            name="mic",
            type_=TrackType.AUDIO,
            source=cast("TrackSource", TrackSource.Value(source.upper())),
            mime_type="audio/red",
            muted=False,
        ).sid

    def unpublish(self, room: str, track_sid: str) -> None:
        """A track is over."""
        self.rooms_there.unpublish(room, track_sid)

    def leave(self, room: str, identity: str) -> None:
        """Somebody goes."""
        self.rooms_there.leave(room, identity, DisconnectReason.CLIENT_INITIATED)

    def finish(self, room: str) -> None:
        """The room ends, whoever is in it first."""
        self.rooms_there.finish(room, DisconnectReason.ROOM_CLOSED)

    def kill(self) -> None:
        """As `kill -9` and a start at once: rooms and webhooks that were not sent are gone."""
        self.rooms_there.vanish()
        self.webhooks.clear()

    def there(self, room: str) -> FakeRoom | None:
        """The room of this name."""
        return self.rooms_there.get(room)

    # The port.

    async def create_room(
        self,
        *,
        name: str,
        empty_timeout_s: int,
        departure_timeout_s: int,
        max_participants: int | None,
        agents: Sequence[Agent] = (),
    ) -> LiveRoom:
        self._asked("create_room")
        if agents:
            raise LiveKitRefused("agents are for the fake server")
        request = CreateRoomRequest(
            name=name,
            empty_timeout=empty_timeout_s,
            departure_timeout=departure_timeout_s,
            max_participants=max_participants or 0,
        )
        return as_live_room(self.rooms_there.create(request).info)

    async def delete_room(self, name: str) -> None:
        self._asked("delete_room")
        self.rooms_there.finish(name, DisconnectReason.ROOM_DELETED)

    async def room(self, name: str) -> LiveRoom | None:
        self._asked("room")
        found = self.rooms_there.get(name)
        return None if found is None or self._overlooked(name) else as_live_room(found.info)

    async def rooms(self, names: Sequence[str] | None = None) -> Sequence[LiveRoom]:
        self._asked("rooms" if names is None else "rooms of names")
        found = [as_live_room(room.info) for room in self.rooms_there.all()]
        if names is None:
            return [room for room in found if room.name not in self.unlisted]
        return [room for room in found if room.name in names and not self._overlooked(room.name)]

    async def participants(self, room_name: str) -> Sequence[LiveParticipant]:
        self._asked("participants")
        room = self.rooms_there.get(room_name)
        unseen = self.unseen.pop(0) if self.unseen else set()
        people = [] if room is None else room.participants.values()
        return [as_live_participant(one) for one in people if one.identity not in unseen]

    async def remove_participant(self, room_name: str, identity: str) -> bool:
        self._asked("remove_participant")
        return self.rooms_there.leave(room_name, identity, DisconnectReason.PARTICIPANT_REMOVED)

    async def dispatch_agents(self, room_name: str, agents: Sequence[Agent]) -> None:
        raise LiveKitRefused("agents are for the fake server")

    async def check(self) -> None:
        self._asked("check")

    async def close(self) -> None:
        return

    def _overlooked(self, name: str) -> bool:
        times = self.unknown.get(name, 0)
        self.unknown[name] = max(0, times - 1)
        return times > 0

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if self.down_after is not None:
            self.down, self.down_after = self.down_after <= 0, self.down_after - 1
        if self.down:
            raise LiveKitUnavailable("LiveKit cannot be reached")
