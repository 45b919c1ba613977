"""Brings to the broker what the spool holds, and then lets new messages go there directly again.

Promises: in the order of the spool, and removed only after the broker's confirm. After a failure one message is
sent alone until the broker takes it, so that a broker that hangs gets few copies. A crash sends a batch again at
most. When little is left, new messages wait for a moment (`Handover`), so that the spool becomes empty under load
as well, and nobody overtakes what is in it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog

from messaging.confirms import PublishOutcome
from messaging.failures import PublishError, Unroutable, Unsendable
from messaging.message import Outgoing
from webhook_ingress.spool.spool import Spool

log = structlog.get_logger(__name__)

BATCH: Final = 500
# A confirm that comes later than this would be asked for again and again, without an end.
_CONFIRM_LIMIT: Final = timedelta(seconds=10)
_FIRST_PAUSE_S: Final = 0.1
_LAST_PAUSE_S: Final = 1.0
_SAY_EVERY_S: Final = 5.0

Repair = Callable[[], Awaitable[None]]
"""Makes again what is missing at the broker. Does not raise when it cannot."""


class Outlet(Protocol):
    """The broker, as far as a spool needs it; `messaging.publisher.Publisher` is one."""

    async def publish(self, message: Outgoing, *, timeout: timedelta) -> None:
        """Return once the broker has it. Raises PublishError."""

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout: timedelta) -> list[PublishOutcome]:
        """What became of each, in order: None for confirmed, else the PublishError."""

    def give_up(self, error: PublishError) -> None:
        """What waits for its confirm waits no longer, and has this outcome. It may still arrive."""


class Handover:
    """While it lasts, new messages wait: what is left in the spool goes first, and then they go directly."""

    def __init__(self, limit: timedelta) -> None:
        """It ends by itself after `limit`; then they go into the spool."""
        self._limit_s = limit.total_seconds()
        self._over: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limit_s(self) -> float:
        """How long a message waits at most, in seconds."""
        return self._limit_s

    @property
    def lasts(self) -> bool:
        """New messages wait."""
        return self._over is not None

    async def passed(self) -> None:
        """Return at once when there is none, else when it is over; in the order of the calls."""
        if self._over is not None:
            await self._over.wait()

    def begin(self) -> None:
        """Let new messages wait. Does nothing while it lasts."""
        if self._over is None:
            self._over = asyncio.Event()
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self.end)

    def end(self) -> None:
        """Let them go. Does nothing when it is over."""
        if self._over is not None and self._timer is not None:
            self._timer.cancel()
            self._over.set()
            self._over = self._timer = None


class Delivery:
    """Empties `spool` into `outlet`, again and again."""

    def __init__(
        self,
        spool: Spool,
        outlet: Outlet,
        handover: Handover,
        *,
        repair: Repair,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`sleep` takes seconds; tests pass a clock of their own."""
        self._spool = spool
        self._outlet = outlet
        self._handover = handover
        self._repair = repair
        self._sleep = sleep
        self._pause_s = 0.0
        self._last_said_s = float("-inf")
        self._delivered = 0

    async def run(self) -> None:
        """Deliver until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                batch = await self._spool.next(BATCH)
                begun_s = loop.time()
                await self._deliver(batch.messages)
                await self._spool.delivered(batch)
                self._delivered += len(batch.messages)
                self._look_ahead(is_quick=loop.time() - begun_s < self._handover.limit_s / 2)
        finally:
            self._handover.end()

    def _look_ahead(self, *, is_quick: bool) -> None:
        if not self._spool.waiting:
            self._handover.end()
            log.info("spool.delivered", messages=self._delivered)
            self._delivered = 0
        elif is_quick and self._spool.waiting <= BATCH:
            self._handover.begin()

    async def _deliver(self, messages: Sequence[Outgoing]) -> None:
        """Return when the broker has all of them."""
        left = list(messages)
        while left:
            # After a failure the first goes alone, as the probe.
            count = 1 if self._pause_s else len(left)
            outcomes = await self._outlet.publish_many(left[:count], timeout=_CONFIRM_LIMIT)
            failed = [(m, why) for m, why in zip(left, outcomes, strict=False) if self._is_open(m, why)]
            left[:count] = [message for message, _ in failed]
            await self._after(failed[0][1] if failed else None)

    def _is_open(self, message: Outgoing, outcome: PublishOutcome) -> bool:
        """It must be sent again."""
        if isinstance(outcome, Unsendable):
            log.error(
                "spool.unsendable", id=message.message_id, error=str(outcome), meaning="its file is kept"
            )
            self._spool.keep_aside()
            return False
        return outcome is not None

    async def _after(self, failure: PublishError | None) -> None:
        if failure is None:
            self._pause_s = 0.0
            return
        self._handover.end()
        self._say_waiting(failure)
        if isinstance(failure, Unroutable):
            await self._repair()
        self._pause_s = min(_LAST_PAUSE_S, self._pause_s * 2 or _FIRST_PAUSE_S)
        await self._sleep(self._pause_s)

    def _say_waiting(self, failure: PublishError) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._last_said_s >= _SAY_EVERY_S:
            self._last_said_s = now_s
            log.warning(
                "spool.waiting",
                messages=self._spool.waiting,
                used_bytes=self._spool.used_bytes,
                oldest_s=round(self._spool.oldest_s, 1),
                error=f"{type(failure).__name__}: {failure}",
            )
