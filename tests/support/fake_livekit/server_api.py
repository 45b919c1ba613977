"""The server API of the fake: Twirp over HTTP, protobuf bodies, tokens checked, with faults.

Promises: the calls that June makes, answered as the real server answers them, errors included.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import jwt
from aiohttp import web
from google.protobuf.message import DecodeError, Message
from livekit import api
from livekit.protocol.agent_dispatch import (
    AgentDispatch,
    CreateAgentDispatchRequest,
    ListAgentDispatchRequest,
    ListAgentDispatchResponse,
)
from livekit.protocol.models import DisconnectReason, Room
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
)

from tests.support.fake_livekit.rooms import FakeRooms

M = TypeVar("M", bound=Message)

_MAX_NAME_BYTES = 256
_STATUS = {
    "invalid_argument": 400,
    "malformed": 400,
    "out_of_range": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "bad_route": 404,
    "deadline_exceeded": 408,
    "already_exists": 409,
    "aborted": 409,
    "failed_precondition": 412,
    "resource_exhausted": 429,
    "internal": 500,
    "unknown": 500,
    "unimplemented": 501,
    "unavailable": 503,
}


class TwirpError(Exception):
    """An error as Twirp names them; `code` decides the HTTP status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def response(self) -> web.Response:
        """The answer on the wire."""
        body = {"code": self.code, "msg": f"twirp error unknown: {self}"}
        return web.json_response(body, status=_STATUS[self.code])


class _NoResponseError(TwirpError):
    """What the real server says, seconds later, of a room that it does not have."""

    def __init__(self) -> None:
        super().__init__("unavailable", "no response from servers")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """How one method is read, who may call it, and what it does."""

    request: type[Message]
    allowed: Callable[[api.VideoGrants, Message], bool]
    carry_out: Callable[[Message], Message]


class FakeServerApi:
    """The HTTP handlers. Switches: `delay`, `fail_next`, `cut_off`."""

    def __init__(self, *, rooms: FakeRooms, key: str, secret: str, no_response_after: timedelta) -> None:
        self._rooms = rooms
        self._key = key
        self._verifier = api.TokenVerifier(key, secret)
        self._no_response_after = no_response_after
        self._failures: deque[tuple[str, str | None]] = deque()
        self.delay = timedelta()
        """How long each answer takes, after the call was carried out."""
        self.delays: dict[str, timedelta] = {}
        """The same of single methods."""
        self.cut_off = False
        """Whether connections break at once."""
        self.calls: list[str] = []
        """The methods that were called, in order."""
        self._methods = self._table()

    def application(self) -> web.Application:
        """Routes for one server."""
        app = web.Application()
        app.router.add_get("/", self._hello)
        app.router.add_post("/twirp/{service}/{method}", self._handle)
        return app

    def fail_next(self, code: str, times: int, of: str | None) -> None:
        """The next calls, those of this method where one is named, are answered with this Twirp error; nothing is
        done."""
        self._failures.extend([(code, of)] * times)

    async def _hello(self, _request: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.cut_off and request.transport:
            request.transport.abort()
        body = await request.read()
        self.calls.append(request.match_info["method"])
        try:
            answer = self._answer(request, body)
        except _NoResponseError as error:
            await asyncio.sleep(self._no_response_after.total_seconds())
            answer = error.response()
        except TwirpError as error:
            answer = error.response()
        delay = self.delays.get(request.match_info["method"], self.delay)
        await asyncio.sleep(delay.total_seconds())
        return answer

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        if self._failures and self._failures[0][1] in {None, request.match_info["method"]}:
            raise TwirpError(self._failures.popleft()[0], "as the test asked for")
        grants = self._grants(request)
        if grants is None:
            return web.Response(status=401, text="invalid token")
        call = self._methods.get((request.match_info["service"], request.match_info["method"]))
        if call is None:
            raise TwirpError("bad_route", "no handler for path")
        message = call.request()
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            raise TwirpError("malformed", "the protobuf request could not be decoded") from error
        if not call.allowed(grants, message):
            raise TwirpError("unauthenticated", "permissions denied")
        return web.Response(
            body=call.carry_out(message).SerializeToString(), content_type="application/protobuf"
        )

    def _grants(self, request: web.Request) -> api.VideoGrants | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            return self._verifier.verify(token).video or api.VideoGrants()
        except jwt.PyJWTError:
            return None

    def _table(self) -> dict[tuple[str, str], _Call]:
        rooms, agents = "livekit.RoomService", "livekit.AgentDispatchService"
        return {
            (rooms, "CreateRoom"): _call(CreateRoomRequest, _may_create, self._create_room),
            (rooms, "ListRooms"): _call(ListRoomsRequest, _may_list, self._list_rooms),
            (rooms, "DeleteRoom"): _call(DeleteRoomRequest, _may_create, self._delete_room),
            (rooms, "ListParticipants"): _call(ListParticipantsRequest, _is_admin, self._list_participants),
            (rooms, "RemoveParticipant"): _call(RoomParticipantIdentity, _is_admin, self._remove_participant),
            (agents, "CreateDispatch"): _call(CreateAgentDispatchRequest, _is_admin, self._create_dispatch),
            (agents, "ListDispatch"): _call(ListAgentDispatchRequest, _is_admin, self._list_dispatch),
        }

    def _create_room(self, request: CreateRoomRequest) -> Room:
        if len(request.name.encode()) > _MAX_NAME_BYTES:
            raise TwirpError(
                "invalid_argument", f"room name length exceeds limits: max length {_MAX_NAME_BYTES}"
            )
        return self._rooms.create(request).info

    def _list_rooms(self, request: ListRoomsRequest) -> ListRoomsResponse:
        names = set(request.names)
        found = [room.info for room in self._rooms.all() if not names or room.info.name in names]
        return ListRoomsResponse(rooms=found)

    def _delete_room(self, request: DeleteRoomRequest) -> DeleteRoomResponse:
        if not self._rooms.finish(request.room, DisconnectReason.ROOM_DELETED):
            raise TwirpError("not_found", "requested room does not exist")
        return DeleteRoomResponse()

    def _list_participants(self, request: ListParticipantsRequest) -> ListParticipantsResponse:
        room = self._rooms.get(request.room)
        if room is None:
            raise _NoResponseError
        return ListParticipantsResponse(participants=room.participants.values())

    def _remove_participant(self, request: RoomParticipantIdentity) -> RemoveParticipantResponse:
        reason = DisconnectReason.PARTICIPANT_REMOVED
        if not self._rooms.leave(request.room, request.identity, reason):
            raise TwirpError("not_found", "participant does not exist")
        return RemoveParticipantResponse()

    def _create_dispatch(self, request: CreateAgentDispatchRequest) -> AgentDispatch:
        room = self._rooms.create(CreateRoomRequest(name=request.room))
        return self._rooms.dispatch(room, request.agent_name, request.metadata)

    def _list_dispatch(self, request: ListAgentDispatchRequest) -> ListAgentDispatchResponse:
        room = self._rooms.get(request.room)
        if room is None:
            raise _NoResponseError
        return ListAgentDispatchResponse(agent_dispatches=room.dispatches)


def _may_create(grants: api.VideoGrants, _request: Message) -> bool:
    return bool(grants.room_create)


def _may_list(grants: api.VideoGrants, _request: Message) -> bool:
    return bool(grants.room_list)


def _is_admin(grants: api.VideoGrants, request: Message) -> bool:
    return bool(grants.room_admin) and grants.room == getattr(request, "room", None)


def _call(
    request: type[M], allowed: Callable[[api.VideoGrants, Message], bool], carry_out: Callable[[M], Message]
) -> _Call:
    def checked(message: Message) -> Message:
        assert isinstance(message, request)
        return carry_out(message)

    return _Call(request=request, allowed=allowed, carry_out=checked)
