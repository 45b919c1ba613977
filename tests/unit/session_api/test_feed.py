"""The feed of events and its cursors: each event once and in order, from memory or from the log."""

import asyncio
from datetime import timedelta
from typing import Any

from session_api.events.feed import Feed
from tests.support.polling import until
from tests.unit.session_api.tools import FakeLog

SOON = timedelta(seconds=5)
JOINED, LEFT = "june.participant.joined.v1", "june.participant.left.v1"


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


async def test_who_comes_before_the_first_look_at_the_log_goes_on_as_soon_as_it_is_there() -> None:
    """What happened while the process started anew comes at once, and not with the next thing that happens."""
    log = FakeLog()
    log.add(JOINED)
    feed = Feed(log)
    early = asyncio.create_task(taken(feed.cursor(0), 1))
    await asyncio.sleep(0)
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(SOON.total_seconds() / 2):
        assert await early == [0]
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
