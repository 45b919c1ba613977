"""The answers to LiveKit's webhooks, as the contract's table has them.

Promises: 200 only after the sink has the event; every temporary trouble, and every fault of ours, is 503 with
`Retry-After`, since LiveKit counts any other 4xx as delivered and forgets the event. A body that does not arrive in
time has its connection closed, for the same reason. A refused token learns nothing but 401. One log line for each
webhook, without its body and its token.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from aiohttp import web

from messaging.message import Outgoing
from webhook_ingress.body import NoBody, read_body
from webhook_ingress.events import Unreadable, WebhookEvent, read_event
from webhook_ingress.http import ok
from webhook_ingress.messages import dead_message, event_message
from webhook_ingress.metrics import Metrics
from webhook_ingress.sink import EventSink, NotSafe
from webhook_ingress.verify import Rejected, verify

log = structlog.get_logger()

PATH: Final = "/api/livekit-webhooks"
BODY_DEADLINE: Final = timedelta(seconds=10)
# LiveKit waits as told and tries five times, so that an outage of about half a minute loses nothing.
_RETRY_AFTER: Final = {"Retry-After": "7"}


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A status, and what the log says about it. `close`: the connection is of no more use."""

    status: int
    headers: Mapping[str, str] | None = None
    told: Mapping[str, str] | None = None
    close: bool = False


_NOT_FOUND: Final = Answer(status=404)
_NOT_A_POST: Final = Answer(status=405, headers={"Allow": "POST"})
_FAULT: Final = Answer(status=503, headers=_RETRY_AFTER, told={"reason": "fault"})


class Webhooks:
    """Answers requests. `secrets` are by API key; bodies are at most `max_bytes` long."""

    def __init__(
        self,
        *,
        sink: EventSink,
        secrets: Mapping[str, str],
        max_bytes: int,
        metrics: Metrics,
        now: Callable[[], datetime] = _utc_now,
        body_deadline: timedelta = BODY_DEADLINE,
    ) -> None:
        self._sink = sink
        self._secrets = {key: secret.encode() for key, secret in secrets.items()}
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._now = now
        self._body_deadline = body_deadline

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises nothing but cancellation."""
        begun = time.perf_counter()
        try:
            answer = await self._answer(request)
        except Exception:
            log.exception("webhook.fault")
            answer = _FAULT
        self._metrics.answered(answer.status)
        ms = round((time.perf_counter() - begun) * 1000, 1)
        log.info("webhook.handled", status=answer.status, ms=ms, **(answer.told or {}))
        if answer.status == 200:
            return ok(request)
        response = web.Response(status=answer.status, headers=answer.headers)
        if answer.close:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> Answer:
        if request.path != PATH:
            return _NOT_FOUND
        if request.method != "POST":
            return _NOT_A_POST
        body = await read_body(request, self._max_bytes, self._body_deadline)
        if isinstance(body, NoBody):
            return _without_body(request, body)
        verdict = verify(request.headers.getall("Authorization", ()), body, self._secrets, self._now())
        if isinstance(verdict, Rejected):
            self._metrics.refused(verdict.reason)
            return Answer(status=401, told={"reason": verdict.reason.value})
        return await self._take(body)

    async def _take(self, body: bytes) -> Answer:
        """A body that is LiveKit's: make it safe, as an event or as a dead letter."""
        event = read_event(body)
        match event:
            case WebhookEvent():
                self._metrics.came_in(event.event)
                told = {"name": event.event, "id": event.id, "room": event.room}
                return await self._put(event_message(event, body, self._now()), told)
            case Unreadable():
                self._metrics.unreadable()
                return await self._put(dead_message(event, body, self._now()), {"dead_letter": event.reason})

    async def _put(self, message: Outgoing, told: Mapping[str, str]) -> Answer:
        begun = time.perf_counter()
        try:
            await self._sink.put(message)
        except NotSafe as error:
            return Answer(status=503, headers=_RETRY_AFTER, told={**told, "reason": str(error)})
        finally:
            self._metrics.published(time.perf_counter() - begun)
        return Answer(status=200, told=told)


def _without_body(request: web.BaseRequest, why: NoBody) -> Answer:
    told = {"reason": why.value}
    match why:
        case NoBody.TOO_LARGE:
            return Answer(status=413, told=told)
        case NoBody.BROKEN:
            return Answer(status=400, told=told, close=True)
        case NoBody.TOO_SLOW:
            # Nobody gets to see this status: a 408 would make LiveKit forget the event.
            if request.transport is not None:
                request.transport.abort()
            return Answer(status=408, told=told, close=True)
