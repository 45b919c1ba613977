"""Server-sent events: what a listener gets, where it begins, and what it never misses."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from messaging.failures import BrokerUnavailable
from schemas.replies import ErrorCode
from session_api.events.feed import Event, Feed
from session_api.events.ids import id_of, next_of
from session_api.events.streaming import encoded
from tests.support.polling import until
from tests.support.samples import session_json
from tests.unit.session_api.tools import FakeLog, Served, served

SOON = timedelta(seconds=5)
JOINED, CREATED, LEFT = "june.participant.joined.v1", "june.session.created.v1", "june.participant.left.v1"


async def test_a_listener_gets_what_happens_after_its_headers() -> None:
    """Nothing from before; then each event with its id, its type as the name, and the envelope as it was sent."""
    async with served() as api:
        api.log.add(JOINED)
        async with api.events() as stream:
            place = api.log.add(LEFT, at="now")
            event_id, name, envelope = await stream.next()
            assert (event_id, name) == (id_of(place), LEFT)
            assert envelope == json.loads(api.log.messages[place].body)
            headers = stream.answer.headers
            assert headers["Content-Type"].startswith("text/event-stream")
            assert headers["Cache-Control"] == "no-store"


async def test_a_listener_goes_on_after_its_last_event() -> None:
    """From memory or from the log, each event once and in order."""
    async with served(kept_events=3) as api:
        places = [api.log.add(JOINED, n=n) for n in range(20)]
        await until(lambda: api.feed.start == 17)
        for last in (0, 5, 16, 18):
            async with api.events(headers={"Last-Event-ID": id_of(places[last])}) as stream:
                got = [(await stream.next())[0] for _ in places[last + 1 :]]
                assert got == [id_of(place) for place in places[last + 1 :]]
                places.append(api.log.add(JOINED))
                assert (await stream.next())[0] == id_of(places[-1])


async def test_too_old_begins_with_the_oldest_that_is_kept() -> None:
    """What the log has dropped is skipped, and the rest comes."""
    async with served() as api:
        api.log.oldest = 100
        await until(lambda: api.feed.start is not None)
        for n in range(3):
            api.log.add(JOINED, n=n)
        async with api.events(headers={"Last-Event-ID": id_of(4)}) as stream:
            assert (await stream.next())[0] == id_of(100)


async def test_an_id_beyond_the_end_is_of_a_log_that_is_gone() -> None:
    """The log was made anew: its oldest event is what comes after."""
    async with served() as api:
        api.log.add(JOINED)
        async with api.events(headers={"Last-Event-ID": id_of(10_000)}) as stream:
            assert (await stream.next())[0] == id_of(0)


@pytest.mark.parametrize(
    "given", ["nonsense", "1", "AAAAAAAAAAAAAAAA", "é", id_of(3)[:-1], id_of(3) + "A", "=" * 16]
)
async def test_an_id_that_is_not_junes_is_400(given: str) -> None:
    """It is told, and no days of events are replayed."""
    async with served() as api:
        answer = await api.call("GET", "/api/events", headers={"Last-Event-ID": given})
        assert (answer.status, answer.json["details"][0]["field"]) == (400, "Last-Event-ID")


async def test_filters_are_anded_and_types_may_repeat() -> None:
    """Session, type and user must all be right."""
    async with served() as api, api.events(f"?session_id=s1&type={JOINED}&type={LEFT}") as stream:
        for type_, session_id in [
            (JOINED, "s2"),
            (CREATED, "s1"),
            (JOINED, "s1"),
            (LEFT, "s1"),
            (LEFT, None),
        ]:
            api.log.add(type_, session_id)
        assert [(await stream.next())[1] for _ in range(2)] == [JOINED, LEFT]


async def test_a_user_is_that_of_the_session_for_every_event() -> None:
    """Learnt from the events that say it, else asked of June once for each session."""
    async with served() as api, api.events("?user_id=ann") as stream:
        api.log.add(CREATED, "s1", session=session_json(session_id="s1", user_id="ann"))
        api.log.add(CREATED, "s2", session=session_json(session_id="s2", user_id="bo"))
        api.log.add(JOINED, "s2")
        api.log.add(JOINED, "s1")
        assert [(await stream.next())[1] for _ in range(2)] == [CREATED, JOINED]
        assert api.june.sent == []
        for _ in range(3):
            api.log.add(LEFT, "unseen")
            assert (await stream.next())[1] == LEFT
        (asked,) = api.june.envelopes
        assert (asked.type, asked.data) == ("june.session.get.v1", {"session_id": "unseen"})


async def test_a_session_that_nobody_knows_is_nobodys() -> None:
    """An adopted one, and one that June has forgotten, pass no filter by user."""
    async with served() as api, api.events("?user_id=ann") as stream:
        api.june.refuse(ErrorCode.NOT_FOUND)
        api.log.add(JOINED, "forgotten")
        api.log.add(CREATED, "adopted", session=session_json(session_id="adopted", user_id=None))
        api.log.add(CREATED, "s1", session=session_json())
        assert (await stream.next())[2]["subject"] == "s1"


async def test_an_owner_that_cannot_be_asked_for_loses_no_event() -> None:
    """The listener beats until June can say whose the session is."""
    async with served() as api, api.events("?user_id=ann") as stream:
        api.june.refuse(ErrorCode.UNAVAILABLE)
        api.log.add(JOINED, "s9")
        await until(lambda: api.june.sent)
        assert await stream.block() == ":"
        assert await stream.block() == ":"
        api.june.refusing = None
        assert (await stream.next())[2]["subject"] == "s9"


async def test_silence_beats() -> None:
    """A comment comes when nothing else does, and while events go by that do not pass."""
    async with (
        served(heartbeat=timedelta(milliseconds=60)) as api,
        api.events(f"?type={LEFT}") as stream,
    ):
        assert await stream.block() == ":"
        for _ in range(3):
            assert await stream.block() == ":"
        stop = asyncio.Event()

        async def others() -> None:
            while not stop.is_set():
                api.log.add(JOINED)
                await asyncio.sleep(0.005)

        noise = asyncio.create_task(others())
        for _ in range(3):
            assert await stream.block() == ":"
        stop.set()
        await noise


async def test_whose_a_session_is_may_take_long_to_learn() -> None:
    """The listener beats while the answer is waited for, and gets the event when it is there."""
    async with (
        served(heartbeat=timedelta(milliseconds=60)) as api,
        api.events("?user_id=ann") as stream,
    ):
        api.june.hold = asyncio.Event()
        api.log.add(JOINED, "s9")
        await until(lambda: api.june.sent)
        for _ in range(3):
            assert await stream.block() == ":"
        api.june.hold.set()
        assert (await stream.next())[2]["subject"] == "s9"
        assert len(api.june.sent) == 1


async def everything(reader: asyncio.StreamReader) -> bytes:
    """To the end. The reader's own `read()` takes no more at once than its limit, which is a byte here."""
    received = bytearray()
    while some := await reader.read(1 << 20):
        received += some
    return bytes(received)


async def test_a_listener_that_does_not_read_is_let_go_with_all_that_waits_for_it() -> None:
    """Its place is free, and its connection is closed in the middle of an event: the rest is not kept for it."""
    async with served(write_within=timedelta(milliseconds=100)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n\r\n")
        await until(lambda: api.api._streams.taken == 1)
        for _ in range(40):
            api.log.add(JOINED, pad="x" * 500_000)
        await until(lambda: not api.api._streams.taken)
        async with asyncio.timeout(10):
            received = await everything(reader)
        assert received.count(b"pad") > 1
        assert not received.endswith(b"\r\n")
        writer.close()
        await writer.wait_closed()


async def test_what_is_no_envelope_reaches_nobody() -> None:
    """Anybody may publish to the exchange; listeners get June's envelopes."""
    async with served() as api, api.events() as stream:
        api.log.add_bytes(b"not JSON\nevent: forged\n\n")
        place = api.log.add(JOINED)
        assert (await stream.next())[:2] == (id_of(place), JOINED)


async def test_a_body_with_line_breaks_is_one_event() -> None:
    """No event can be forged inside another one."""
    event = Event(offset=1, type="t", body=b'{"a":\r\n\r\n1,\n"id: 9": 2}')
    text = encoded(event).decode()
    assert text.count("\n\n") == 1
    assert text.endswith("\n\n")
    data = "\n".join(line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: "))
    assert json.loads(data) == {"a": 1, "id: 9": 2}


async def test_the_broker_away_is_503() -> None:
    """Soon, and before any header of a stream."""
    async with served() as api:
        api.log.down = True
        answer = await api.call("GET", "/api/events")
        assert (answer.status, answer.code) == (503, "unavailable")


async def test_streams_have_places_of_their_own() -> None:
    """Streams do not take the place of requests, and one that ends makes room."""
    async with served(max_requests=1) as api:
        async with api.events() as stream:
            await stream.block()
            assert (await api.call("GET", "/api/events")).status == 429
            assert (await api.call("GET", "/api/sessions")).status == 200
            assert (await api.call("GET", "/api/system")).json["event_streams"] == 1
        await until(lambda: api.api._streams.taken == 0)
        async with api.events() as stream:
            await stream.block()


async def test_closing_ends_the_streams() -> None:
    """A listener's stream ends in order when the API stops."""
    async with served() as api, api.events() as stream:
        await stream.block()
        api.feed.close()
        assert await asyncio.wait_for(stream.answer.content.read(), 10) == b""


async def test_closing_waits_for_nobody_who_does_not_read() -> None:
    """Their connections are cut a second later, long before a process that ends loses its patience."""
    async with served() as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n\r\n")
        await until(lambda: api.api._streams.taken == 1)
        for _ in range(20):
            api.log.add(JOINED, pad="x" * 500_000)
        await until(lambda: api.feed.end == 20)
        api.api.close()
        await until(lambda: not api.api._streams.taken, within_s=5)
        writer.transport.abort()


async def test_many_who_come_at_once_cost_two_looks() -> None:
    """The end of the log is looked up after each of them came, and not for each of them."""
    log, gate = FakeLog(), asyncio.Event()
    looks = 0

    async def tail() -> int:
        nonlocal looks
        looks += 1
        await gate.wait()
        return looks

    feed = Feed(log)
    log.tail = tail  # type: ignore[method-assign]
    first = asyncio.create_task(feed.now())
    await until(lambda: looks)
    others = [asyncio.create_task(feed.now()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    assert await first == 1
    assert set(await asyncio.gather(*others)) == {2}
    assert await feed.now() == 3


async def test_a_look_that_hangs_is_told_in_time() -> None:
    """Also to those who wait for the look after it."""
    log = FakeLog()
    log.tail = asyncio.Event().wait  # type: ignore[method-assign]
    feed = Feed(log)
    began = asyncio.get_running_loop().time()
    told = await asyncio.gather(*(feed.now() for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in told] == [BrokerUnavailable] * 2
    assert asyncio.get_running_loop().time() - began < 2


# The feed and its cursors.


async def following(log: FakeLog, **limits: Any) -> tuple[Feed, asyncio.Task[None]]:
    """A feed that has begun."""
    feed = Feed(log, **limits)
    task = asyncio.create_task(feed.run())
    await until(lambda: feed.start is not None)
    return feed, task


async def taken(cursor: Any, count: int) -> list[int]:
    """The places of the next events."""
    got: list[int] = []
    async with asyncio.timeout(5):
        while len(got) < count:
            got += [event.offset for event in await cursor.take(SOON)]
    return got


async def test_a_cursor_that_falls_behind_reads_the_log_and_comes_back() -> None:
    """Every event once, in order, over the change from log to memory and back."""
    log = FakeLog()
    feed, task = await following(log, kept_events=5)
    cursor = feed.cursor(0)
    log.add(JOINED)
    assert await taken(cursor, 1) == [0]
    for _ in range(30):
        log.add(JOINED)
    await until(lambda: feed.start == 26)
    assert await taken(cursor, 30) == list(range(1, 31))
    log.add(JOINED)
    assert await taken(cursor, 1) == [31]
    assert (log.readers, log.closed_readers) == (2, 1)
    task.cancel()


async def test_memory_is_bounded_by_bytes_as_well() -> None:
    """Large events push older ones out."""
    log = FakeLog()
    feed, task = await following(log, kept_bytes=1300)
    for _ in range(10):
        log.add(JOINED, text="x" * 300)
    await until(lambda: feed.start == 8)
    assert sum(len(event.body) for event in feed.since(8)) <= 1300
    assert await taken(feed.cursor(0), 10) == list(range(10))
    task.cancel()


async def test_who_came_after_a_log_began_anew_keeps_the_place() -> None:
    """A cursor that began in the new log before the feed did sees nothing of before, and nothing twice."""
    log = FakeLog()
    feed, task = await following(log)
    for _ in range(5):
        log.add(JOINED)
    await until(lambda: feed.end == 5)
    log.delete()
    log.add(LEFT)
    late = feed.cursor(await feed.now())
    log.add(LEFT)
    assert await taken(late, 1) == [1]
    log.add(LEFT)
    assert await taken(late, 1) == [2]
    task.cancel()


async def test_a_gap_in_the_log_is_no_gap_in_memory() -> None:
    """What was dropped by age while the broker was away is skipped; places still lead to their events."""
    log = FakeLog()
    feed, task = await following(log)
    log.add(JOINED)
    await until(lambda: feed.since(0))
    log.oldest, log.messages = 50, []
    for _ in range(3):
        log.add(LEFT)
    await until(lambda: feed.start == 50)
    assert [event.offset for event in feed.since(51)] == [51, 52]
    assert await taken(feed.cursor(0), 3) == [50, 51, 52]
    task.cancel()


async def test_a_log_that_begins_anew_is_followed_from_its_beginning() -> None:
    """Cursors whose places were further on than the new log is long miss nothing of it, those that wait included."""
    log = FakeLog()
    feed, task = await following(log)
    for _ in range(5):
        log.add(JOINED)
    waiting, quick = feed.cursor(5), feed.cursor(3)
    assert await taken(quick, 2) == [3, 4]
    getting = asyncio.create_task(taken(waiting, 3))
    await asyncio.sleep(0)
    log.delete()
    for _ in range(3):
        log.add(LEFT)
    assert await getting == [0, 1, 2]
    assert await taken(quick, 3) == [0, 1, 2]
    log.add(LEFT)
    assert (await taken(waiting, 1), await taken(quick, 1)) == ([3], [3])
    task.cancel()


@pytest.mark.parametrize("offset", [0, 1, 255, 2**31, 2**53])
def test_an_id_leads_to_the_next_place(offset: int) -> None:
    """It is opaque, and has nothing that a header or an event cannot hold."""
    event_id = id_of(offset)
    assert next_of(event_id) == offset + 1
    assert len(event_id) == 16
    assert event_id.replace("-", "").replace("_", "").isalnum()


async def listeners(api: Served, count: int) -> None:
    """So many listeners that each must get the same five events."""

    async def listen() -> list[str]:
        async with api.events() as stream:
            await stream.block()
            ready.release()
            return [(await stream.next())[0] for _ in range(5)]

    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(listen()) for _ in range(count)]
    for _ in tasks:
        await ready.acquire()
    places = [api.log.add(JOINED) for _ in range(5)]
    assert await asyncio.gather(*tasks) == [[id_of(place) for place in places]] * count


async def test_the_log_is_read_once_for_all_listeners() -> None:
    """Twenty listeners, one reader."""
    async with served() as api:
        await listeners(api, 20)
        assert api.log.readers == 1
