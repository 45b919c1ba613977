"""One listener's server-sent events: what passes its filters, in order, and a comment when there is nothing to say.

The event's `data` is the envelope as June published it. A listener that does not read for half a minute is let go,
with all that waits for it; it comes back with the id of its last event, and misses nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from aiohttp import web

from session_api.events.feed import Cursor, Event, Feed
from session_api.events.ids import id_of
from session_api.events.owners import Owners
from session_api.problems import Problem

log = structlog.get_logger(__name__)

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}
HEARTBEAT: Final = timedelta(seconds=12)
"""Below the contract's 15 s, so that a busy moment does not break it."""
WRITE_WITHIN: Final = timedelta(seconds=30)
_END_WITHIN: Final = timedelta(seconds=1)
_ASK_AGAIN_AFTER: Final = timedelta(seconds=1)
_COMMENT: Final = b":\n\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """What a listener wants: all that is given must hold. None and empty stand for everything."""

    session_id: str | None = None
    user_id: str | None = None
    types: frozenset[str] = frozenset()

    def may_pass(self, event: Event) -> bool:
        """Whether it passes, as far as the event itself says."""
        if not event.type or (self.types and event.type not in self.types):
            return False
        return self.session_id is None or event.session_id == self.session_id


class Streaming:
    """Writes events to listeners."""

    def __init__(
        self,
        feed: Feed,
        owners: Owners,
        *,
        sent: Callable[[], None],
        heartbeat: timedelta = HEARTBEAT,
        write_within: timedelta = WRITE_WITHIN,
    ) -> None:
        """`sent` is called for each event that was written."""
        self._feed = feed
        self._owners = owners
        self._sent = sent
        self._heartbeat = heartbeat
        self._write_within = write_within
        self._open: dict[int, web.BaseRequest] = {}

    def close(self) -> None:
        """End all streams. Whoever does not read any more gets no end, and is cut off a second later. Idempotent."""
        self._feed.close()
        asyncio.get_running_loop().call_later(_END_WITHIN.total_seconds(), self._cut_all)

    def _cut_all(self) -> None:
        for request in list(self._open.values()):
            _cut(request)

    async def serve(
        self, request: web.BaseRequest, wanted: Filter, place: int, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Write until the listener goes, or the feed is closed. The first byte is a comment."""
        response = web.StreamResponse(headers={**headers, **HEADERS})
        cursor = self._feed.cursor(place)
        self._open[id(request)] = request
        try:
            await response.prepare(request)
            await self._follow(cursor, wanted, _Out(response, self._write_within))
        except ConnectionError as error:
            log.info("events.listener_lost", error=str(error))
            _cut(request)
        except Exception:
            # The answer has begun, so there is no other one: the listener comes back by itself.
            log.exception("events.fault")
            response.force_close()
        finally:
            del self._open[id(request)]
            await cursor.close()
        return response

    async def _follow(self, cursor: Cursor, wanted: Filter, out: "_Out") -> None:
        await out.write(_COMMENT)
        while not self._feed.closed:
            await self._step(cursor, wanted, out)

    async def _step(self, cursor: Cursor, wanted: Filter, out: "_Out") -> None:
        left = max(self._heartbeat - out.silence, timedelta(0))
        for event in await cursor.take(left):
            if event.session is not None:
                self._owners.learn(event.session)
            if wanted.may_pass(event) and await self._is_theirs(event, wanted, out):
                await out.write(encoded(event))
                self._sent()
        if out.silence >= self._heartbeat:
            await out.write(_COMMENT)

    async def _is_theirs(self, event: Event, wanted: Filter, out: "_Out") -> bool:
        """Whether it is of the user that is wanted: waits until June can say, and beats meanwhile."""
        if wanted.user_id is None:
            return True
        if event.session_id is None:
            return False
        while not self._feed.closed:
            try:
                async with asyncio.timeout((self._heartbeat - out.silence).total_seconds()):
                    return await self._owners.user_of(event.session_id) == wanted.user_id
            except TimeoutError:
                await out.write(_COMMENT)
            except Problem:
                await out.write(_COMMENT)
                await asyncio.sleep(_ASK_AGAIN_AFTER.total_seconds())
        return False


def _cut(request: web.BaseRequest) -> None:
    """Close the connection at once: else what a listener never reads would be kept for it for ever."""
    if request.transport is not None:
        request.transport.abort()


class _Out:
    """A response, and how long nothing was written to it."""

    def __init__(self, response: web.StreamResponse, write_within: timedelta) -> None:
        self._response = response
        self._write_within = write_within
        self._written_at = self._now()

    @property
    def silence(self) -> timedelta:
        return timedelta(seconds=self._now() - self._written_at)

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError when the listener is gone, or reads nothing."""
        try:
            async with asyncio.timeout(self._write_within.total_seconds()):
                await self._response.write(data)
        except TimeoutError as error:
            raise ConnectionError("the listener does not read") from error
        self._written_at = self._now()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def encoded(event: Event) -> bytes:
    """The lines of one event. A body with line breaks in it is as many `data` lines, which a reader joins again."""
    lines = event.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    data = b"".join(b"data: %s\n" % line for line in lines)
    return b"id: %s\nevent: %s\n%s\n" % (id_of(event.offset).encode(), event.type.encode(), data)
