"""The partitions of rooms: batches of deliveries in, each settled exactly once.

Promises: what one partition holds is handled in order; an outage is waited out in place, with nothing acked and nothing
dead-lettered; a message that fails again and again is parked after a bounded number of tries, and its room is looked
at. What a lost channel still holds is dropped, since somebody else has it by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from messaging.delivery import Delivery
from messaging.settlement import Ack, DeadLetter, Retry, classify
from worker.adapters.amqp.dead import DeadLetters
from worker.adapters.amqp.failures import as_settled_by
from worker.application.failures import Outage
from worker.application.room_events import Behind, Failed, Handled, Outcome, RoomEvents, Unreadable
from worker.metrics import EFFECTS, MESSAGES, Result

log = structlog.get_logger(__name__)

# Looked up once: by its labels a counter costs more than the counting.
_HANDLED = MESSAGES.labels("room", Result.HANDLED)
_DUPLICATE = MESSAGES.labels("room", Result.DUPLICATE)

BATCH = 16
"""How many deliveries one worker holds of a partition: few, since a hand-over gives them all back."""


@dataclass(slots=True)
class _Try:
    """A delivery and how often it was tried."""

    delivery: Delivery
    tries: int = 0
    wait: timedelta = timedelta(0)


class PartitionHandler:
    """Handles the batches of one partition."""

    def __init__(
        self,
        *,
        partition: int,
        room_events: RoomEvents,
        dead_letters: DeadLetters,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._partition = partition
        self._room_events = room_events
        self._dead_letters = dead_letters
        self._sleep = sleep

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        """Return when each is settled, or not ours any more."""
        pending = [_Try(delivery) for delivery in deliveries]
        outages = 0
        while pending and pending[0].delivery.current:
            started = time.perf_counter()
            try:
                outcomes = await self._room_events.handle(
                    self._partition, [one.delivery.body for one in pending]
                )
            except Outage as error:
                outages += 1
                await self._wait_out(error, outages)
                continue
            ms = (time.perf_counter() - started) * 1000
            pending = [
                one
                for one, outcome in zip(pending, outcomes, strict=True)
                if not await self._settle(one, outcome, ms)
            ]
            await self._sleep(max((one.wait for one in pending), default=timedelta(0)).total_seconds())

    async def _settle(self, one: _Try, outcome: Outcome, ms: float) -> bool:
        """Whether it is settled; else it is tried again."""
        match outcome:
            case Handled():
                one.delivery.ack()
                _say(self._partition, outcome, ms)
                return True
            case Unreadable():
                await self._put_aside(one, outcome.reason, outcome.error)
                return True
            case Behind():
                return False
            case Failed():
                return await self._failed(one, outcome)

    async def _failed(self, one: _Try, outcome: Failed) -> bool:
        one.tries += 1
        match classify(as_settled_by(outcome.error), attempt=one.tries):
            case Retry() as retry:
                log.warning(
                    "message.failed",
                    partition=self._partition,
                    message=outcome.name,
                    tries=one.tries,
                    error=f"{type(outcome.error).__name__}: {outcome.error}",
                )
                one.wait = retry.delay
                return False
            case DeadLetter() as letter:
                log.error("message.given_up", message=outcome.name, exc_info=outcome.error)
                await self._park(one.delivery, outcome)
                await self._put_aside(one, letter.reason, letter.error)
                return True
            case Ack():
                raise AssertionError("a failure is never acked")

    async def _park(self, delivery: Delivery, outcome: Failed) -> None:
        """Return when its room will be looked at, or when the delivery is stale."""
        outages = 0
        while delivery.current:
            try:
                await self._room_events.parked(outcome)
            except Outage as error:
                outages += 1
                await self._wait_out(error, outages)
            else:
                return

    async def _put_aside(self, one: _Try, reason: str, error: str) -> None:
        MESSAGES.labels("room", Result.DEAD).inc()
        await self._dead_letters.put(one.delivery, reason=reason, error=error, attempts=max(1, one.tries))

    async def _wait_out(self, error: Outage, outages: int) -> None:
        decision = classify(as_settled_by(error), attempt=outages)
        delay = decision.delay if isinstance(decision, Retry) else timedelta(seconds=1)
        log.warning(
            "partition.waiting",
            partition=self._partition,
            error=str(error),
            again_in_s=delay.total_seconds(),
        )
        await self._sleep(delay.total_seconds())


def _say(partition: int, handled: Handled, ms: float) -> None:
    (_DUPLICATE if handled.duplicate else _HANDLED).inc()
    for what, times in handled.counts.items():
        EFFECTS.labels(what).inc(times)
    log.info(
        "room_event.handled",
        partition=partition,
        message=handled.name,
        subject=handled.subject,
        duplicate=handled.duplicate,
        ms=round(ms, 1),
        **handled.counts,
    )
