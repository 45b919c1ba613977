"""Where a test takes LiveKit's webhooks: keeps each request as it came, and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from deploy.servers import free_port

PATH = "/api/livekit-webhooks"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One POST, before anything was made of it. `at` is the event loop's time, in seconds."""

    body: bytes
    authorization: str
    content_type: str
    at: float

    @property
    def payload(self) -> dict[str, Any]:
        """The body as JSON."""
        payload: dict[str, Any] = json.loads(self.body)
        return payload

    @property
    def event(self) -> str:
        """Its name."""
        return str(self.payload["event"])

    @property
    def room_name(self) -> str:
        """Of which room it tells."""
        return str(self.payload["room"]["name"])


class WebhookReceiver:
    """All requests, in order. A room's are answered as `answer` says, then all with 200."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self.requests: list[Request] = []
        self._answers: dict[str, list[web.Response]] = {}
        self._came = asyncio.Condition()

    def answer(self, room_name: str, *responses: web.Response) -> None:
        """Answer the room's next requests so; late ones of other rooms take nothing away."""
        self._answers.setdefault(room_name, []).extend(responses)

    def of(self, room_name: str) -> list[Request]:
        """Those of one room."""
        return [request for request in self.requests if request.room_name == room_name]

    async def until(
        self,
        enough: Callable[[Sequence[Request]], bool],
        *,
        room_name: str,
        deadline: timedelta = timedelta(seconds=15),
    ) -> list[Request]:
        """The room's requests, as soon as they are enough; `AssertionError`, with their names, after the deadline."""
        try:
            async with asyncio.timeout(deadline.total_seconds()), self._came:
                await self._came.wait_for(lambda: enough(self.of(room_name)))
        except TimeoutError as error:
            raise AssertionError(f"only {[one.event for one in self.of(room_name)]} came") from error
        return self.of(room_name)

    async def until_event(self, event: str, *, room_name: str, times: int = 1) -> list[Request]:
        """The room's requests, as soon as this event is among them so often."""
        return await self.until(
            lambda requests: [one.event for one in requests].count(event) >= times, room_name=room_name
        )

    async def handle(self, request: web.Request) -> web.Response:
        """Keep it, then answer."""
        body = await request.read()
        async with self._came:
            received = Request(
                body=body,
                authorization=request.headers.get("Authorization", ""),
                content_type=request.headers.get("Content-Type", ""),
                at=asyncio.get_running_loop().time(),
            )
            self.requests.append(received)
            self._came.notify_all()
        answers = self._answers.get(received.room_name)
        return answers.pop(0) if answers else web.Response()


@contextlib.asynccontextmanager
async def receiving(port: int | None = None) -> AsyncIterator[WebhookReceiver]:
    """A receiver that listens for the time of the block."""
    chosen = free_port() if port is None else port
    receiver = WebhookReceiver(chosen)
    app = web.Application()
    app.router.add_post(PATH, receiver.handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", chosen).start()
        yield receiver
    finally:
        await runner.cleanup()
