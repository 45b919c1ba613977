"""LiveKit's server API behind the worker's `LiveKit` port.

Promises: each method ends within its deadline, all its requests together; errors are mapped here, once, by
meaning; no retries of its own. Refuses to take anything but LiveKit's own word (`not_found`) for "absent":
the 404 of a proxy is an outage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
from google.protobuf.message import DecodeError
from livekit import api
from livekit.api.twirp_client import ServerErrorCode
from livekit.protocol import models

from worker.adapters.livekit.words import kind_word, source_word, state_word, storable, type_word
from worker.application.failures import LiveKitRefused, LiveKitUnavailable
from worker.application.ports import LiveParticipant, LiveRoom, LiveTrack
from worker.domain.model import Agent

_CHECK_TIMEOUT = timedelta(seconds=1)
_ROOM_MAY_BE_GONE = timedelta(seconds=0.3)
_LATEST_MS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)

# LiveKit understood and will say the same again. All others, a key that it does not accept included, end when
# somebody puts them right, and what was to be done is then still to be done.
_REFUSALS = frozenset(
    {
        ServerErrorCode.INVALID_ARGUMENT,
        ServerErrorCode.MALFORMED,
        ServerErrorCode.OUT_OF_RANGE,
        ServerErrorCode.ALREADY_EXISTS,
        ServerErrorCode.FAILED_PRECONDITION,
        ServerErrorCode.UNIMPLEMENTED,
    }
)


class _AbsentError(LiveKitUnavailable):
    """LiveKit has no such room or participant. Where that is no answer to what was asked, it is trouble like any."""


class LiveKitServer:
    """One LiveKit, by its URL (`ws`, `wss`, `http` or `https`), asked with one key pair over one session.

    `timeout` is for a whole method: short, so that a command is answered within 5 s though LiveKit hangs.
    Make it inside a running event loop; `close` it once.
    """

    def __init__(
        self, *, url: str, key: str, secret: str, timeout: timedelta = timedelta(seconds=2.5)
    ) -> None:
        self._timeout = timeout
        total = aiohttp.ClientTimeout(total=timeout.total_seconds())
        # A second attempt elsewhere (LiveKit's cloud) would not fit into the deadline.
        self._api = api.LiveKitAPI(url, key, secret, timeout=total, failover=False)

    async def create_room(
        self,
        *,
        name: str,
        empty_timeout_s: int,
        departure_timeout_s: int,
        max_participants: int | None,
        agents: Sequence[Agent] = (),
    ) -> LiveRoom:
        """Make the room, or return the one that is there, unchanged, whatever its options.

        The agents are dispatched as the room is made: two callers at once dispatch them once.
        """
        request = api.CreateRoomRequest(
            name=name,
            empty_timeout=empty_timeout_s,
            departure_timeout=departure_timeout_s,
            max_participants=max_participants or 0,
            agents=[
                api.RoomAgentDispatch(agent_name=agent.agent_name, metadata=agent.metadata)
                for agent in agents
            ],
        )
        async with self._asking():
            return _live_room(await self._api.room.create_room(request))

    async def delete_room(self, name: str) -> None:
        """Close the room; absent is done."""
        try:
            async with self._asking():
                await self._api.room.delete_room(api.DeleteRoomRequest(room=name))
        except _AbsentError:
            return

    async def room(self, name: str) -> LiveRoom | None:
        """The room of this name, if there is one."""
        async with self._asking():
            return await self._room(name)

    async def rooms(self, names: Sequence[str] | None = None) -> Sequence[LiveRoom]:
        """All rooms, or those of these names. Counts are up to 5 s old, and leave agents and egress out."""
        if names is not None and not names:
            return ()
        async with self._asking():
            found = await self._api.room.list_rooms(api.ListRoomsRequest(names=names))
        return tuple(_live_room(room) for room in found.rooms if names is None or room.name in names)

    async def participants(self, room_name: str) -> Sequence[LiveParticipant]:
        """Who is in the room now, hidden ones too; nobody when there is no such room."""
        try:
            async with self._asking():
                # Asked of a room that is not there, LiveKit waits for 3 s and says that it is unavailable.
                found = None
                while found is None:
                    if (room := await self._room(room_name)) is None:
                        return ()
                    found = await self._people(room)
        except _AbsentError:
            return ()
        return tuple(_live_participant(participant) for participant in found)

    async def _people(self, room: LiveRoom) -> Sequence[models.ParticipantInfo] | None:
        """Who is in a room that was just there. Its end may cross the question: no answer for a while is looked into,
        and is `None` when there is no such room any more, or another one of its name."""
        request = api.ListParticipantsRequest(room=room.name)
        asking = asyncio.ensure_future(self._api.room.list_participants(request))
        try:
            await asyncio.wait({asking}, timeout=_ROOM_MAY_BE_GONE.total_seconds())
            if not asking.done():
                now = await self._room(room.name)
                if now is None or now.sid != room.sid:
                    return None
            return (await asking).participants
        finally:
            asking.cancel()

    async def remove_participant(self, room_name: str, identity: str) -> bool:
        """Take somebody out; whether there was somebody."""
        request = api.RoomParticipantIdentity(room=room_name, identity=identity)
        try:
            async with self._asking():
                await self._api.room.remove_participant(request)
        except _AbsentError:
            return False
        return True

    async def dispatch_agents(self, room_name: str, agents: Sequence[Agent]) -> None:
        """Have the agents come into the room, once: an equal dispatch that is there already is enough.

        A room that is not there is `LiveKitRefused`: a dispatch would bring it back.
        """
        async with self._asking():
            if await self._room(room_name) is None:
                raise LiveKitRefused("no such room to dispatch an agent into")
            found = await self._api.agent_dispatch.list_dispatch(room_name)
            there = {(one.agent_name, one.metadata) for one in found}
            for agent in agents:
                if (agent.agent_name, agent.metadata) not in there:
                    await self._api.agent_dispatch.create_dispatch(_dispatch(room_name, agent))

    async def check(self) -> None:
        """Raise `LiveKitUnavailable` when it does not answer, or does not accept the key, within a second."""
        async with self._asking(min(_CHECK_TIMEOUT, self._timeout)):
            # A name that no room has: the answer is small, however many rooms there are.
            await self._api.room.list_rooms(api.ListRoomsRequest(names=["june/check"]))

    async def close(self) -> None:
        """End the HTTP session."""
        await self._api.aclose()

    async def _room(self, name: str) -> LiveRoom | None:
        found = await self._api.room.list_rooms(api.ListRoomsRequest(names=[name]))
        return next((_live_room(room) for room in found.rooms if room.name == name), None)

    @asynccontextmanager
    async def _asking(self, deadline: timedelta | None = None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout((deadline or self._timeout).total_seconds()):
                yield
        except api.ServerError as error:
            raise _meaning(error) from error
        except TimeoutError as error:
            raise LiveKitUnavailable("LiveKit did not answer in time") from error
        except aiohttp.ClientError as error:
            raise LiveKitUnavailable(f"LiveKit cannot be reached: {error}") from error
        except (DecodeError, AttributeError) as error:
            # AttributeError: the client library takes any JSON of a failed request for an object.
            raise LiveKitUnavailable("what answered in LiveKit's place is not LiveKit") from error


def _dispatch(room_name: str, agent: Agent) -> api.CreateAgentDispatchRequest:
    return api.CreateAgentDispatchRequest(
        room=room_name, agent_name=agent.agent_name, metadata=agent.metadata
    )


def _meaning(error: api.ServerError) -> Exception:
    if error.code == ServerErrorCode.NOT_FOUND:
        return _AbsentError(f"LiveKit answered {error.status} {error.code}: {error.message}")
    if error.code in _REFUSALS:
        return LiveKitRefused(f"{error.code}: {error.message}")
    return LiveKitUnavailable(f"LiveKit answered {error.status} {error.code}: {error.message}")


def _live_room(room: models.Room) -> LiveRoom:
    return LiveRoom(
        name=storable(room.name),
        sid=room.sid,
        num_participants=room.num_participants,
        num_publishers=room.num_publishers,
        created_at=_moment(room.creation_time_ms, room.creation_time),
        empty_timeout_s=room.empty_timeout,
        departure_timeout_s=room.departure_timeout,
        max_participants=room.max_participants,
        metadata=storable(room.metadata),
    )


def _live_participant(participant: models.ParticipantInfo) -> LiveParticipant:
    return LiveParticipant(
        sid=participant.sid,
        identity=storable(participant.identity),
        name=storable(participant.name),
        kind=kind_word(participant.kind),
        state=state_word(participant.state),
        joined_at=_moment(participant.joined_at_ms, participant.joined_at),
        metadata=storable(participant.metadata),
        tracks=tuple(_live_track(track) for track in participant.tracks),
    )


def _live_track(track: models.TrackInfo) -> LiveTrack:
    return LiveTrack(
        sid=track.sid,
        type=type_word(track.type),
        source=source_word(track.source),
        name=storable(track.name),
        muted=track.muted,
        mime_type=storable(track.mime_type),
    )


def _moment(milliseconds: int, seconds: int) -> datetime | None:
    # Servers before 1.8 give whole seconds only.
    since_1970_ms = milliseconds or seconds * 1000
    return datetime.fromtimestamp(since_1970_ms / 1000, UTC) if 0 < since_1970_ms <= _LATEST_MS else None
