"""How the fake posts its webhooks: signed, in order for each room, again when they were not taken; with faults.

Promises: one request in flight for each room name; five attempts, after 0, 1, 2, 4 and 8 s (times `pace`), or after
`Retry-After` (times `pace`) of a 429 or 503; 5xx but 501, 429 and connection errors are repeated byte for byte, any
other answer is final. Refuses what the real one also has: limits of depth and age, and waiting for ever.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import aiohttp
import jwt
from google.protobuf.json_format import MessageToDict
from livekit.protocol.webhook import WebhookEvent

from tests.support.fake_livekit.rooms import new_id

_WAITS_S = (1.0, 2.0, 4.0, 8.0)
_LIFETIME_S = 300
_REQUEST_TIMEOUT_S = 30.0


@dataclass(kw_only=True, slots=True)
class Posted:
    """One webhook: what it says, and what it was answered. A connection error is answered `0`."""

    event: str
    event_id: str
    room_name: str
    body: bytes
    answers: list[int] = field(default_factory=list)


class FakeWebhooks:
    """Queues and posts. Switches: `drop`, `copies`, `delay`, and `hold` with `release`."""

    def __init__(
        self, *, urls: Sequence[str], key: str, secret: str, now: Callable[[], datetime], pace: float
    ) -> None:
        self._urls = tuple(urls)
        self._key = key
        self._secret = secret
        self._now = now
        self._pace = pace
        self._session: aiohttp.ClientSession | None = None
        self._queues: dict[tuple[str, str], deque[Posted]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[Posted] | None = None
        self.posted: list[Posted] = []
        """All that was ever to be sent, dropped ones excepted, in order."""
        self.drop: Callable[[str], bool] = lambda _event: False
        """Whether an event of this name is lost."""
        self.copies: Callable[[str], int] = lambda _event: 1
        """How often an event of this name is sent."""
        self.delay = timedelta()
        """How long each request waits before it goes out."""

    async def start(self) -> None:
        """Be ready to post."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S))

    async def stop(self) -> None:
        """Post no more; what is queued is lost."""
        self.lose()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def emit(self, event: WebhookEvent) -> None:
        """Give the event an id and a time, and queue it."""
        if self.drop(event.event):
            return
        event.id = new_id("EV_")
        event.created_at = int(self._now().timestamp())
        self.emit_json(MessageToDict(event))

    def emit_json(self, payload: Mapping[str, Any]) -> None:
        """Queue any body as it is, once for each URL and copy."""
        room = payload.get("room")
        posted = Posted(
            event=str(payload.get("event", "")),
            event_id=str(payload.get("id", "")),
            room_name=str(room.get("name", "")) if isinstance(room, Mapping) else "",
            body=json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(),
        )
        self.posted.append(posted)
        if self._held is not None:
            self._held.append(posted)
            return
        self._enqueue(posted, posted.room_name)

    def hold(self) -> None:
        """Keep back what happens from now on."""
        self._held = []

    def release(self, shuffle: Random | None = None) -> None:
        """Send what was held: in order, or, shuffled, all at once and each on its own."""
        held, self._held = self._held or [], None
        if shuffle is None:
            for posted in held:
                self._enqueue(posted, posted.room_name)
            return
        shuffle.shuffle(held)
        for posted in held:
            self._enqueue(posted, posted.event_id)

    def lose(self) -> None:
        """All that is queued or held is lost, as when the process is killed."""
        self._queues.clear()
        if self._held is not None:
            self._held.clear()
        for task in self._tasks:
            task.cancel()

    async def settled(self, deadline: timedelta = timedelta(seconds=10)) -> None:
        """Return when nothing is queued or in flight; `TimeoutError` after `deadline`."""
        async with asyncio.timeout(deadline.total_seconds()):
            while self._tasks:
                await asyncio.wait(set(self._tasks))

    def _enqueue(self, posted: Posted, queue_name: str) -> None:
        for url in self._urls:
            key = (url, queue_name)
            if key not in self._queues:
                self._queues[key] = deque()
                task = asyncio.create_task(self._work(key), name=f"webhooks of {queue_name}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            self._queues[key].extend([posted] * self.copies(posted.event))

    async def _work(self, key: tuple[str, str]) -> None:
        queue = self._queues[key]
        while queue:
            await self._deliver(key[0], queue.popleft())
        if self._queues.get(key) is queue:
            del self._queues[key]

    async def _deliver(self, url: str, posted: Posted) -> None:
        token = self._sign(posted.body)
        for wait_s in (*_WAITS_S, None):
            if self.delay:
                await asyncio.sleep(self.delay.total_seconds())
            status, retry_after = await self._post(url, token, posted.body)
            posted.answers.append(status)
            if not _is_repeated(status) or wait_s is None:
                return
            chosen = float(retry_after) if retry_after and status in {429, 503} else wait_s
            await asyncio.sleep(chosen * self._pace)

    async def _post(self, url: str, token: str, body: bytes) -> tuple[int, str | None]:
        assert self._session, "not started"
        headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
        try:
            async with self._session.post(url, data=body, headers=headers) as response:
                return response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError):
            return 0, None

    def _sign(self, body: bytes) -> str:
        # By the real clock, whatever the fake's says: the receiver has no other.
        now_s = int(time.time())
        claims = {
            "iss": self._key,
            "exp": now_s + _LIFETIME_S,
            "nbf": now_s,
            "iat": now_s,
            "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")


def _is_repeated(status: int) -> bool:
    return status in {0, 429} or (status >= 500 and status != 501)
