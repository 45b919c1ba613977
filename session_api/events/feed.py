"""The log of events, read once for the whole process; any number of cursors follow it, each from its own place.

A cursor gets every event from its place on, in order, each once. What is new, and the last two thousand or so, come
from memory; a cursor that is further behind reads the log by itself until it has caught up. So a slow listener costs
no memory, and none holds up another. While the broker is away nothing comes; afterwards it goes on where it was.
A log that somebody deleted begins anew, and everybody goes on with its first event.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from messaging.failures import BrokerUnavailable
from messaging.message import Incoming
from schemas.envelope import decode
from schemas.errors import MessageInvalid

LOOK_WITHIN: Final = timedelta(seconds=1.5)
"""Whoever wants events is told within 2 s that the broker is away."""
KEPT_EVENTS: Final = 2000
KEPT_BYTES: Final = 16 * 1024 * 1024
_TAKE_AT_MOST: Final = 100
_AHEAD: Final = 500
_AHEAD_BEHIND: Final = 8
"""For each listener that is behind: hundreds of them share a connection and a thread with the answers to commands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One message of the log. `type` is empty for what is no envelope: it has a place, and nobody gets it."""

    offset: int
    type: str = ""
    session_id: str | None = None
    session: dict[str, Any] | None = None
    """The session itself, in the events that carry it."""
    body: bytes = field(default=b"", repr=False)


class Reader(Protocol):
    """Gives message after message with its place; waits out outages. A step that is cancelled loses nothing."""

    def __aiter__(self) -> "Reader": ...

    async def __anext__(self) -> tuple[int, Incoming]: ...

    async def close(self) -> None:
        """Read no more."""


class Log(Protocol):
    """The log of events, as it can be read."""

    async def tail(self) -> int:
        """The place of the next event; what happened before is below it. Raises BrokerUnavailable."""

    def read(self, place: int, *, ahead: int) -> Reader:
        """Reads from `place` on, else from the oldest that is kept; so many messages are there before they are asked
        for."""


def read_event(offset: int, message: Incoming) -> Event:
    """A message of the log as an event."""
    try:
        envelope = decode(message.body)
    except MessageInvalid:
        return Event(offset=offset)
    session = envelope.data.get("session")
    return Event(
        offset=offset,
        type=envelope.type,
        session_id=envelope.subject,
        session=session if isinstance(session, dict) else None,
        body=message.body,
    )


class Feed:
    """Follows the log by `run`; gives cursors."""

    def __init__(self, log: Log, *, kept_events: int = KEPT_EVENTS, kept_bytes: int = KEPT_BYTES) -> None:
        """Nothing is read before `run`."""
        self._log = log
        self._kept_events = kept_events
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._recent: deque[Event] = deque()
        self._end: int | None = None
        self._news = asyncio.Event()
        self._this_look: asyncio.Task[int] | None = None
        self._next_look: asyncio.Task[int] | None = None
        self.closed = False
        self.restarts = 0
        """How often the log began anew: then places of before lead nowhere."""

    async def run(self) -> None:
        """Follow the log until cancelled, from its end at this moment. Raises BrokerUnavailable at the start."""
        self._end = await self._log.tail()
        messages = self._log.read(self._end, ahead=_AHEAD)
        try:
            async for offset, message in messages:
                self._append(read_event(offset, message))
        finally:
            await messages.close()

    def close(self) -> None:
        """Cursors give nothing more. Idempotent."""
        self.closed = True
        self._news.set()

    async def now(self) -> int:
        """The place of what happens next, looked up after this call. Raises BrokerUnavailable.

        Whoever asks while a look is under way shares the next one: many who come at once cost two looks.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look(self._this_look), name="end of the log")
        try:
            async with asyncio.timeout(LOOK_WITHIN.total_seconds()):
                return await asyncio.shield(self._next_look)
        except TimeoutError as error:
            raise BrokerUnavailable("the broker is silent") from error

    async def _look(self, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait([before])
        self._this_look, self._next_look = self._next_look, None
        return await self._log.tail()

    def cursor(self, place: int) -> "Cursor":
        """A cursor that begins there, or with the oldest event that is kept."""
        return Cursor(self, self._log, place)

    @property
    def end(self) -> int:
        """The place of the next event, as far as the log was read."""
        return self._end or 0

    @property
    def start(self) -> int | None:
        """The place of the oldest event in memory, or of the next one; None before the first look at the log."""
        return self._end if self._end is None else self._end - len(self._recent)

    def since(self, place: int) -> list[Event]:
        """Events in memory from `place` on, not more than a hundred. `place` must not be below `start`."""
        start = self.start
        if start is None:
            return []
        skipped = place - start
        # By index, which is cheap near either end: most listeners want the last one.
        return [self._recent[at] for at in range(skipped, min(skipped + _TAKE_AT_MOST, len(self._recent)))]

    async def wait(self, within: timedelta) -> None:
        """Return when something new came, or after `within`."""
        news = self._news
        try:
            async with asyncio.timeout(within.total_seconds()):
                await news.wait()
        except TimeoutError:
            pass

    def _append(self, event: Event) -> None:
        if self._end is not None and event.offset < self._end:
            self.restarts += 1
        if event.offset != self._end:  # the log has dropped by age what we did not get to see
            self._recent.clear()
            self._bytes = 0
        self._recent.append(event)
        self._bytes += len(event.body)
        self._end = event.offset + 1
        while len(self._recent) > self._kept_events or self._bytes > self._kept_bytes:
            self._bytes -= len(self._recent.popleft().body)
        self._news.set()
        if not self.closed:
            self._news = asyncio.Event()


class Cursor:
    """One listener's place in the feed."""

    def __init__(self, feed: Feed, log: Log, place: int) -> None:
        """Made by `Feed.cursor`."""
        self.place = place
        self._feed = feed
        self._log = log
        self._behind: Reader | None = None
        self._restarts = feed.restarts

    async def take(self, within: timedelta) -> list[Event]:
        """The next events, waited for; none when none came in time, or the feed is closed."""
        start = self._feed.start
        if start is None or self._feed.closed:
            await self._feed.wait(within)
            return []
        if self._restarts != self._feed.restarts:
            await self._move()
        if self.place < start:
            return await self._catch_up(within)
        await self._stop_reading()
        if not (events := self._feed.since(self.place)):
            await self._feed.wait(within)
            is_here = self.place >= (self._feed.start or 0) and self._restarts == self._feed.restarts
            events = self._feed.since(self.place) if is_here else []
        if events:
            self.place = events[-1].offset + 1
        return events

    async def close(self) -> None:
        """Read no more. Idempotent."""
        await self._stop_reading()

    async def _move(self) -> None:
        """The log began anew: all of it is new to whoever has a place beyond its end. The others found it already."""
        self._restarts = self._feed.restarts
        if self.place > self._feed.end:
            self.place = 0
            await self._stop_reading()

    async def _catch_up(self, within: timedelta) -> list[Event]:
        if self._behind is None:
            self._behind = self._log.read(self.place, ahead=_AHEAD_BEHIND)
        try:
            async with asyncio.timeout(within.total_seconds()):
                offset, message = await anext(self._behind)
        except TimeoutError:
            return []
        self.place = offset + 1
        return [read_event(offset, message)]

    async def _stop_reading(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            await behind.close()
