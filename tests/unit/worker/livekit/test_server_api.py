"""LiveKit in trouble: what June's client of it makes of that. What it does in peace is in tests/contract/livekit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web
from livekit.protocol.models import Room
from livekit.protocol.room import ListRoomsResponse

from deploy.servers import free_port
from tests.support.fake_livekit import FakeLiveKit
from tests.support.polling import until
from worker.adapters.livekit.server_api import LiveKitServer
from worker.application.failures import LiveKitRefused, LiveKitUnavailable
from worker.application.ports import LiveRoom
from worker.domain.model import Agent

DEADLINE = timedelta(seconds=0.5)
SOON = timedelta(seconds=0.1)
SECRET = "a secret that is long enough for it"

CALLS: dict[str, Callable[[LiveKitServer], Awaitable[object]]] = {
    "create_room": lambda client: client.create_room(
        name="r", empty_timeout_s=60, departure_timeout_s=20, max_participants=None
    ),
    "delete_room": lambda client: client.delete_room("r"),
    "room": lambda client: client.room("r"),
    "rooms": lambda client: client.rooms(),
    "rooms of names": lambda client: client.rooms(["r", "s"]),
    "participants": lambda client: client.participants("r"),
    "remove_participant": lambda client: client.remove_participant("r", "ann"),
    "dispatch_agents": lambda client: client.dispatch_agents("r", [Agent(agent_name="a")]),
    "check": lambda client: client.check(),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@contextlib.asynccontextmanager
async def client_of(
    url: str, *, key: str = "june", secret: str = SECRET, timeout: timedelta = timedelta(seconds=10)
) -> AsyncIterator[LiveKitServer]:
    client = LiveKitServer(url=url, key=key, secret=secret, timeout=timeout)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def fake() -> AsyncIterator[FakeLiveKit]:
    """A LiveKit with one person in room `r`."""
    async with FakeLiveKit() as fake:
        fake.join("r", "ann")
        yield fake


@pytest.fixture
async def client(fake: FakeLiveKit) -> AsyncIterator[LiveKitServer]:
    """June's client of the fake, with more time than it needs."""
    async with client_of(fake.ws_url, key=fake.api_key, secret=fake.api_secret) as client:
        yield client


@pytest.fixture
async def hasty(fake: FakeLiveKit) -> AsyncIterator[LiveKitServer]:
    """June's client of the fake, with a short deadline."""
    async with client_of(fake.ws_url, key=fake.api_key, secret=fake.api_secret, timeout=DEADLINE) as client:
        yield client


@contextlib.asynccontextmanager
async def answering(response: Callable[[], web.Response]) -> AsyncIterator[str]:
    """Something that answers every request so: a proxy, or another program on LiveKit's port."""

    async def handle(_request: web.Request) -> web.Response:
        return response()

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@every_call
async def test_nobody_there_is_an_outage(call: Callable[[LiveKitServer], Awaitable[object]]) -> None:
    """A refused connection is told at once."""
    async with client_of(f"ws://127.0.0.1:{free_port()}") as client:
        with pytest.raises(LiveKitUnavailable, match="cannot be reached"):
            await call(client)


@every_call
async def test_a_call_ends_within_its_deadline(
    fake: FakeLiveKit, call: Callable[[LiveKitServer], Awaitable[object]]
) -> None:
    """A LiveKit that hangs is an outage when the time is over: all requests of one call together."""
    fake.slow(timedelta(seconds=30))
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with client_of(fake.ws_url, key=fake.api_key, secret=fake.api_secret, timeout=SOON) as client:
        with pytest.raises(LiveKitUnavailable, match="in time"):
            await call(client)
    assert loop.time() - started < 5


async def test_the_deadline_is_for_the_whole_call(fake: FakeLiveKit, hasty: LiveKitServer) -> None:
    """Two requests that each are in time, and together are not, are an outage."""
    fake.slow(DEADLINE * 0.6)
    with pytest.raises(LiveKitUnavailable, match="in time"):
        await hasty.participants("r")
    assert fake.calls == ["ListRooms", "ListParticipants"]


@every_call
@pytest.mark.parametrize(
    "code", ["unavailable", "internal", "unknown", "resource_exhausted", "permission_denied"]
)
async def test_trouble_that_passes_is_an_outage(
    fake: FakeLiveKit, client: LiveKitServer, call: Callable[[LiveKitServer], Awaitable[object]], code: str
) -> None:
    """Asking again later is right; asked again, it works."""
    fake.fail_next(code)
    with pytest.raises(LiveKitUnavailable, match=code):
        await call(client)
    await call(client)


@every_call
@pytest.mark.parametrize("code", ["invalid_argument", "failed_precondition", "unimplemented"])
async def test_a_no_is_a_refusal(
    fake: FakeLiveKit, client: LiveKitServer, call: Callable[[LiveKitServer], Awaitable[object]], code: str
) -> None:
    """LiveKit understood, and would say the same again."""
    fake.fail_next(code)
    with pytest.raises(LiveKitRefused, match=code):
        await call(client)


@every_call
@pytest.mark.parametrize(
    "response",
    [
        lambda: web.Response(status=404, text="not here"),
        lambda: web.json_response({"code": "bad_route", "msg": "no handler"}, status=404),
        lambda: web.json_response(["not_found"], status=404),
        lambda: web.Response(status=502, text="<html>"),
        lambda: web.Response(status=200, text="<html>welcome</html>"),
        lambda: web.json_response(None, status=500),
    ],
    ids=["404", "bad_route", "404-list", "502", "html", "500-null"],
)
async def test_what_is_not_livekit_is_an_outage(
    call: Callable[[LiveKitServer], Awaitable[object]], response: Callable[[], web.Response]
) -> None:
    """A proxy's word is never taken for "no such room": that would end sessions."""
    async with answering(response) as url, client_of(url) as client:
        with pytest.raises(LiveKitUnavailable):
            await call(client)


@pytest.mark.parametrize("call", ["create_room", "room", "rooms", "check"])
async def test_not_found_is_no_answer_to_everything(
    fake: FakeLiveKit, client: LiveKitServer, call: str
) -> None:
    """Where nothing can be absent it is trouble that passes, and ends no program."""
    fake.fail_next("not_found")
    with pytest.raises(LiveKitUnavailable, match="not_found"):
        await CALLS[call](client)


async def test_a_room_that_ends_while_its_people_are_asked_for(
    fake: FakeLiveKit, client: LiveKitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is in it."""
    find = LiveKitServer._room

    async def room(self: LiveKitServer, name: str) -> LiveRoom | None:
        found = await find(self, name)
        fake.fail_next("not_found")
        return found

    monkeypatch.setattr(LiveKitServer, "_room", room)
    assert await client.participants("r") == ()


@pytest.mark.parametrize("made_ms", [2**63 - 1, -(2**63), 0])
async def test_a_moment_that_no_calendar_has(made_ms: int) -> None:
    """It is told as none, and the room all the same."""
    rooms = ListRoomsResponse(rooms=[Room(name="r", sid="RM_1", creation_time_ms=made_ms)])
    body = rooms.SerializeToString()
    async with answering(lambda: web.Response(body=body)) as url, client_of(url) as client:
        (room,) = await client.rooms()
    assert (room.sid, room.created_at) == ("RM_1", None)


async def test_a_livekit_that_comes_back_is_used_again(fake: FakeLiveKit, client: LiveKitServer) -> None:
    """An outage leaves nothing behind in the client."""
    await client.check()
    await fake.down()
    with pytest.raises(LiveKitUnavailable):
        await client.check()
    await fake.up()
    assert [one.identity for one in await client.participants("r")] == ["ann"]


async def test_a_cancelled_call_stays_cancelled(fake: FakeLiveKit, client: LiveKitServer) -> None:
    """Shutting down is no outage."""
    fake.slow(timedelta(seconds=30))
    task = asyncio.create_task(client.rooms())
    await until(lambda: fake.calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_counts_leave_agents_out(fake: FakeLiveKit, client: LiveKitServer) -> None:
    """LiveKit's counts are up to five seconds old, and without agents: hints, not the truth."""
    fake.join("r", "june-stt-1", kind="agent", hidden=True)
    fake.publish("r", "ann")
    room = await client.room("r")
    assert room is not None
    assert (room.num_participants, room.num_publishers) == (0, 0)
    fake.advance(timedelta(seconds=5))
    room = await client.room("r")
    assert room is not None
    assert (room.num_participants, room.num_publishers) == (1, 1)


async def test_a_room_that_ends_while_its_people_are_asked_for_has_none(
    fake: FakeLiveKit, client: LiveKitServer
) -> None:
    """LiveKit waits for seconds before it says anything of such a room."""
    fake.slow_only("ListRooms", timedelta(seconds=0.1))
    async with asyncio.timeout(2):
        asking = asyncio.create_task(client.participants("r"))
        await until(lambda: "ListRooms" in fake.calls)
        fake.finish("r")
        assert await asking == ()
