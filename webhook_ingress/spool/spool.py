"""The spool as the event loop sees it: messages in, safe when `put` returns, and out again in the same order.

Promises: whoever waits at the same moment shares one sync. All calls to the disk are made in one thread of its own,
so that a slow disk delays nobody but those who wait for it.
Refuses (NotSpooled) when the log is full, or the disk says no; nothing that was promised before is touched.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import structlog

from messaging.message import Outgoing
from webhook_ingress.spool.codec import Undecodable, decode_message, encode_message
from webhook_ingress.spool.log import Chunk, RecordLog
from webhook_ingress.spool.records import HEAD_BYTES

log = structlog.get_logger(__name__)

_GROUP_BYTES: Final = 1024 * 1024
"""What one sync makes safe at most: the time of it should not grow with what waits."""

P = ParamSpec("P")
T = TypeVar("T")


class NotSpooled(Exception):
    """The message is not safe; it may be delivered all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Messages to deliver, in this order."""

    messages: tuple[Outgoing, ...]
    chunk: Chunk


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    payload: bytes
    kept: asyncio.Future[None]


def _now_s() -> float:
    return time.time()


class Spool:
    """Messages that wait for the broker. Its `write` must run for `put` to return."""

    def __init__(self, records: RecordLog, now_s: Callable[[], float] = _now_s) -> None:
        """`now_s` is the time of day, in seconds of the epoch."""
        self._log = records
        self._now_s = now_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._queue: deque[_Waiting] = deque()
        self._queued = asyncio.Event()
        self._readable = asyncio.Event()
        self._unwritten = 0
        self._refused_bytes = 0
        self._broken: str | None = None

    @property
    def waiting(self) -> int:
        """How many messages are in it, those included that are being written."""
        return self._unwritten + self._log.records

    @property
    def used_bytes(self) -> int:
        """The size of its files."""
        return self._log.used_bytes

    @property
    def damages(self) -> int:
        """How many damaged places were found since the start."""
        return self._log.damages

    @property
    def oldest_s(self) -> float:
        """The age of the oldest message; 0 when there is none."""
        at_ms = self._log.oldest_at_ms
        return 0.0 if at_ms is None else max(0.0, self._now_s() - at_ms / 1000)

    async def put(self, message: Outgoing) -> None:
        """Return when the message is on the disk. Raises NotSpooled.

        From the call on it counts as `waiting`, before anything else runs.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(payload=encode_message(message), kept=kept))
        self._unwritten += 1
        self._queued.set()
        await kept

    async def problem(self) -> str | None:
        """Why nothing can be put into it at the moment; asks the disk again when it had said no."""
        if self._broken is not None:
            try:
                await self._in_thread(self._log.probe)
                self._broken = None
            except OSError as error:
                self._broken = _words(error)
        if self._broken is None and self._log.free_bytes < self._refused_bytes:
            return "the spool is full"
        return self._broken

    async def write(self) -> None:
        """Write what is put, for ever."""
        while True:
            await self._queued.wait()
            self._queued.clear()
            while group := self._group():
                await self._write(group)

    async def next(self, most: int) -> Batch:
        """Wait for messages, and give up to `most` of them: the oldest. The same again until `delivered`."""
        while not self._log.records:
            self._readable.clear()
            await self._readable.wait()
        chunk = await self._in_thread(self._log.read, most)
        messages = [message for payload in chunk.payloads if (message := self._decoded(payload)) is not None]
        return Batch(messages=tuple(messages), chunk=chunk)

    async def delivered(self, batch: Batch) -> None:
        """The broker has all of them."""
        await self._in_thread(self._log.confirm, batch.chunk)

    def keep_aside(self) -> None:
        """Something of the last batch will never be delivered: its file is kept."""
        self._log.keep()

    async def close(self) -> None:
        """Let go of the folder, after what is being written."""
        await self._in_thread(self._log.close)
        self._thread.shutdown()

    def _group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._queue and size < _GROUP_BYTES:
            waiting = self._queue.popleft()
            size += len(waiting.payload)
            group.append(waiting)
        return group

    async def _write(self, group: list[_Waiting]) -> None:
        payloads = [waiting.payload for waiting in group]
        try:
            count = await self._in_thread(self._log.append, payloads, int(self._now_s() * 1000))
            why = "the spool is full"
            self._broken = None
            self._refused_bytes = HEAD_BYTES + len(payloads[count]) if count < len(payloads) else 0
        except OSError as error:
            count, why = 0, _words(error)
            self._broken = why
            log.error("spool.write_failed", error=why, messages=len(group))
        self._unwritten -= len(group)
        self._readable.set()
        for number, waiting in enumerate(group):
            if waiting.kept.done():
                continue  # nobody waits for it any more
            if number < count:
                waiting.kept.set_result(None)
            else:
                waiting.kept.set_exception(NotSpooled(why))

    def _decoded(self, payload: bytes) -> Outgoing | None:
        try:
            return decode_message(payload)
        except Undecodable as error:
            log.error("spool.undecodable", error=str(error), meaning="its file is kept aside")
            self.keep_aside()
            return None

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))


def _words(error: OSError) -> str:
    return f"the spool cannot write: {error.strerror or error}"
