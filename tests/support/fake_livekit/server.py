"""The fake as one object: a server on a port of its own, what happens in its rooms, and its faults.

Promises: what a test does in a room (`join`, `publish` …) is done at once, and its webhooks are queued in that order.
Refuses media: nobody hears anything here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from types import TracebackType
from typing import Any, Self, cast

import jwt
from aiohttp import web
from livekit import api
from livekit.protocol.models import (
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackSource,
    TrackType,
)

from deploy.servers import free_port
from tests.support.fake_livekit.rooms import FakeRooms
from tests.support.fake_livekit.server_api import FakeServerApi
from tests.support.fake_livekit.webhooks import FakeWebhooks, Posted

_TICK_S = 0.05


class FakeLiveKit:
    """`async with FakeLiveKit(webhook_urls=[…]) as livekit`: listens at `livekit.ws_url` until the block ends.

    `pace` stretches the waits between a webhook's attempts (1.0 is the real server's); rooms age by the fake's clock,
    which is the real one plus what `advance` added.
    """

    def __init__(
        self,
        *,
        webhook_urls: Sequence[str] = (),
        api_key: str = "june-test",
        api_secret: str = "secret-of-the-fake-livekit-server",
        empty_timeout: timedelta = timedelta(seconds=30),
        departure_timeout: timedelta = timedelta(seconds=2),
        pace: float = 1.0,
    ) -> None:
        self.api_key = api_key
        self.api_secret = api_secret
        self.port = free_port()
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self._ahead = timedelta()
        self._webhooks = FakeWebhooks(
            urls=webhook_urls, key=api_key, secret=api_secret, now=self.now, pace=pace
        )
        self._rooms = FakeRooms(
            now=self.now,
            emit=self._webhooks.emit,
            empty_timeout=empty_timeout,
            departure_timeout=departure_timeout,
        )
        self._api = FakeServerApi(
            rooms=self._rooms, key=api_key, secret=api_secret, no_response_after=timedelta(seconds=3)
        )
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._webhooks.start()
        self._runner = web.AppRunner(self._api.application(), handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.up()
        self._ticking = asyncio.create_task(self._tick(), name="rooms of the fake LiveKit age")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        await self._webhooks.stop()
        if self._runner:
            await self._runner.cleanup()

    # What happens in rooms.

    def join(
        self,
        room: str,
        identity: str,
        *,
        kind: str = "standard",
        name: str = "",
        metadata: str = "",
        hidden: bool = False,
    ) -> str:
        """Somebody comes in, and the room is made where it is not there. The participant's sid."""
        return self._join(room, identity, kind, name, metadata, _permission(hidden=hidden)).sid

    def join_by_token(self, token: str) -> str:
        """Somebody comes in as a client does. The participant's sid; `jwt.PyJWTError` when the token is not right."""
        claims = api.TokenVerifier(self.api_key, self.api_secret).verify(token)
        grants = claims.video
        if grants is None or not grants.room_join or not grants.room:
            raise jwt.InvalidTokenError("no grant to join a room")
        kind = claims.kind or "standard"
        return self._join(
            grants.room, claims.identity, kind, claims.name, claims.metadata, _permitted(grants)
        ).sid

    def _join(
        self, room: str, identity: str, kind: str, name: str, metadata: str, permission: ParticipantPermission
    ) -> ParticipantInfo:
        number = cast("ParticipantInfo.Kind", ParticipantInfo.Kind.Value(kind.upper()))
        return self._rooms.join(
            room, identity, kind=number, name=name, metadata=metadata, permission=permission
        )

    def abort_join(self, room: str, identity: str) -> str:
        """Somebody's connection comes to nothing: the one webhook says so. The participant's sid."""
        return self._rooms.join(
            room,
            identity,
            kind=ParticipantInfo.STANDARD,
            name="",
            metadata="",
            permission=_permission(hidden=False),
            active=False,
        ).sid

    def leave(self, room: str, identity: str) -> None:
        """Somebody goes; tracks first. Raises `KeyError` when there is nobody."""
        if not self._rooms.leave(room, identity, DisconnectReason.CLIENT_INITIATED):
            raise KeyError(identity)

    def publish(
        self,
        room: str,
        identity: str,
        *,
        name: str = "mic",
        type: str = "audio",  # noqa: A002 - the contract's word
        source: str = "microphone",
        mime_type: str = "audio/red",
        muted: bool = False,
    ) -> str:
        """A track is there. Its sid."""
        return self._rooms.publish(
            room,
            identity,
            name=name,
            type_=cast("TrackType", TrackType.Value(type.upper())),
            source=cast("TrackSource", TrackSource.Value(source.upper())),
            mime_type=mime_type,
            muted=muted,
        ).sid

    def unpublish(self, room: str, track_sid: str) -> None:
        """A track is over."""
        self._rooms.unpublish(room, track_sid)

    def finish(self, room: str) -> None:
        """The room ends, whoever is in it first. Raises `KeyError` when it is not there."""
        if not self._rooms.finish(room, DisconnectReason.ROOM_CLOSED):
            raise KeyError(room)

    def room_sid(self, room: str) -> str | None:
        """The sid of the room of this name, if it is there."""
        found = self._rooms.get(room)
        return found.info.sid if found else None

    def identities(self, room: str) -> set[str]:
        """Who is in the room."""
        found = self._rooms.get(room)
        return set(found.participants) if found else set()

    def dispatched(self, room: str) -> list[tuple[str, str]]:
        """The agents that were asked into the room, with their metadata."""
        found = self._rooms.get(room)
        return [(one.agent_name, one.metadata) for one in found.dispatches] if found else []

    # Time.

    def now(self) -> datetime:
        """The fake's clock."""
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        """Let time pass: rooms whose timeout is over by then end at once."""
        self._ahead += by
        self._rooms.age()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._rooms.age()

    # Faults of the server.

    def kill(self) -> None:
        """As `kill -9` and a start at once: rooms and queued webhooks are gone, and nobody is told."""
        self._rooms.vanish()
        self._webhooks.lose()

    async def down(self) -> None:
        """Nothing listens any more; rooms live on, as behind a broken network. Idempotent."""
        self._api.cut_off = True
        if self._site:
            await self._site.stop()
            self._site = None

    async def up(self) -> None:
        """Listens, on the same port."""
        assert self._runner, "not started"
        self._api.cut_off = False
        if not self._site:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
            await self._site.start()

    def slow(self, delay: timedelta) -> None:
        """Each call is carried out, and answered so much later."""
        self._api.delay = delay
        self._api.delays.clear()

    def slow_only(self, method: str, delay: timedelta) -> None:
        """Calls of this method are, until `slow`."""
        self._api.delays[method] = delay

    def fail_next(self, code: str, times: int = 1, *, of: str | None = None) -> None:
        """The next calls, those of this method where one is named, are answered with this Twirp error code, and
        nothing is done."""
        self._api.fail_next(code, times, of)

    @property
    def calls(self) -> list[str]:
        """The server API's methods that were called, in order."""
        return self._api.calls

    # Webhooks and their faults.

    @property
    def posted(self) -> list[Posted]:
        """All webhooks that were ever to be sent, in order, with what they were answered."""
        return self._webhooks.posted

    async def settled(self, deadline: timedelta = timedelta(seconds=10)) -> None:
        """Return when every webhook was taken or given up; `TimeoutError` after `deadline`."""
        await self._webhooks.settled(deadline)

    def post(self, payload: Mapping[str, Any]) -> None:
        """Send any body as a signed webhook."""
        self._webhooks.emit_json(payload)

    def drop_webhooks(self, which: Callable[[str], bool] = lambda _event: True) -> None:
        """Lose events of these names from now on."""
        self._webhooks.drop = which

    def repeat_webhooks(self, copies: int) -> None:
        """Send each event so often from now on."""
        self._webhooks.copies = lambda _event: copies

    def delay_webhooks(self, delay: timedelta) -> None:
        """Each request waits so long before it goes out."""
        self._webhooks.delay = delay

    def hold_webhooks(self) -> None:
        """Keep back what happens from now on, until `release_webhooks`."""
        self._webhooks.hold()

    def release_webhooks(self, shuffle: Random | None = None) -> None:
        """Send what was held: in order; with `shuffle` all at once, in any."""
        self._webhooks.release(shuffle)


def _permission(*, hidden: bool) -> ParticipantPermission:
    return ParticipantPermission(
        can_subscribe=True, can_publish=not hidden, can_publish_data=not hidden, hidden=hidden
    )


def _permitted(grants: api.VideoGrants) -> ParticipantPermission:
    sources = [TrackSource.Value(source.upper()) for source in grants.can_publish_sources or ()]
    return ParticipantPermission(
        can_subscribe=grants.can_subscribe,
        can_publish=grants.can_publish,
        can_publish_data=grants.can_publish_data,
        can_publish_sources=[cast("TrackSource", source) for source in sources],
        hidden=bool(grants.hidden),
    )
