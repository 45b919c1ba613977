"""Consumes a queue: hands what is buffered to a handler, in order, one batch at a time, and for good.

Promises: each delivery is settled exactly once, by the handler, or else requeued here and logged as an error.
After a lost connection, a closed channel or a deleted queue it subscribes again; deliveries of the lost
channel are never handed out, and those already handed out are `stale`. Stopping lets the running batch finish
and then closes the channel, so that the next consumer of a single-active-consumer queue goes on in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from messaging.connection import Broker
from messaging.declare import NOT_FOUND
from messaging.delivery import Delivery
from messaging.failures import BrokerUnavailable
from messaging.subscription import Subscription
from messaging.wire.errors import ChannelClosed, WireError

_FIRST_DELAY: Final = timedelta(milliseconds=100)
_LAST_DELAY: Final = timedelta(seconds=5)
FAULT_PAUSE: Final = timedelta(seconds=1)
"""How long what a handler failed on is held before it is requeued, so that a fault is no hot loop."""

log = structlog.get_logger(__name__)

Handler = Callable[[Sequence[Delivery]], Awaitable[None]]


class Consumer:
    """A consumer of `queue`.

    `prefetch`: deliveries that may be out unsettled. `batch_max`: at most so many of them in one call of
    the handler. `priority`: `x-priority`, the highest takes all of a single-active-consumer queue on RabbitMQ 4.
    `concurrent`: the handler is called for each delivery on its own, up to `prefetch` at once, in no order.
    `exclusive`: the queue is declared with each subscription, for us alone, and gone with the connection.
    `name`: what the broker calls us, at most 255 bytes; without one it makes one up.
    `on_lost`: called each time the subscription is lost; it comes back by itself.
    """

    def __init__(
        self,
        broker: Broker,
        queue: str,
        handler: Handler,
        *,
        prefetch: int,
        batch_max: int | None = None,
        priority: int | None = None,
        concurrent: bool = False,
        exclusive: bool = False,
        name: str = "",
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is consumed before `start`."""
        self.queue = queue
        self._broker = broker
        self._handler = handler
        self._prefetch = prefetch
        self._batch_max = 1 if concurrent else (batch_max or prefetch)
        self._priority = priority
        self._concurrent = concurrent
        self._exclusive = exclusive
        self._name = name
        self._on_lost = on_lost
        self._subscription: Subscription | None = None
        self._subscribed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._handling: set[asyncio.Task[None]] = set()

    @property
    def subscribed(self) -> bool:
        """The broker knows us as a consumer of the queue, at this moment."""
        return self._subscribed.is_set()

    @property
    def active(self) -> bool:
        """Subscribed, and something has come since: of a single-active-consumer queue, we are the one."""
        return self.subscribed and self._subscription is not None and self._subscription.received

    def start(self) -> None:
        """Begin, in the background. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"consume {self.queue}")
            self._task.add_done_callback(self._on_done)

    async def wait_subscribed(self, *, patience: timedelta) -> None:
        """Return once subscribed. Raises BrokerUnavailable when that takes longer than `patience`."""
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await self._subscribed.wait()
        except TimeoutError as error:
            raise BrokerUnavailable(f"not subscribed to {self.queue}") from error

    async def stop(self, drain: timedelta) -> None:
        """Start nothing more, let what runs finish within `drain`, then close the channel. Idempotent.

        What does not finish in time is cancelled, and its messages go back to the queue.
        """
        self._stopping.set()
        if self._task is None:
            return
        if self._subscription is None:
            self._task.cancel()  # it waits for the broker
        else:
            self._subscription.halt()
        running = {self._task, *self._handling}
        _, late = await asyncio.wait(running, timeout=drain.total_seconds())
        for task in late:
            log.warning("consumer.drain_cut_off", queue=self.queue, task=task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late)
        if self._subscription is not None:
            await self._subscription.close()
        self._subscribed.clear()

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            try:
                subscription = self._subscription = await self._subscribe()
                delay = _FIRST_DELAY
                await self._serve(subscription)
            except (WireError, BrokerUnavailable, TimeoutError) as error:
                log.warning("consumer.cannot_subscribe", queue=self.queue, error=str(error))
            if self._stopping.is_set():
                break
            self._subscription = None
            await asyncio.sleep(delay.total_seconds())
            delay = min(delay * 2, _LAST_DELAY)

    async def _subscribe(self) -> Subscription:
        connection = await self._broker.consuming.connection(patience=None)
        subscription = Subscription(self.queue)
        try:
            await subscription.open(
                connection,
                prefetch=self._prefetch,
                priority=self._priority,
                exclusive=self._exclusive,
                name=self._name,
            )
        except ChannelClosed as error:
            if error.code == NOT_FOUND:
                await self._broker.restore_topology(connection)
            raise
        log.info("consumer.subscribed", queue=self.queue)
        self._subscribed.set()
        return subscription

    async def _serve(self, subscription: Subscription) -> None:
        """Until the channel ends, or the consumer stops."""
        while batch := await subscription.take(self._batch_max):
            if self._concurrent:
                await self._spawn(batch)
            else:
                await self._handle(batch)
        if subscription.error is not None:
            self._subscribed.clear()
            log.warning("consumer.lost", queue=self.queue, error=str(subscription.error))
            self._on_lost()

    async def _spawn(self, batch: Sequence[Delivery]) -> None:
        task = asyncio.create_task(self._handle(batch), name=f"handle one of {self.queue}")
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)
        while len(self._handling) >= self._prefetch:  # those of a lost channel count, too
            await asyncio.wait(self._handling, return_when=asyncio.FIRST_COMPLETED)

    async def _handle(self, batch: Sequence[Delivery]) -> None:
        try:
            await self._handler(batch)
        except Exception:
            log.error("consumer.handler_failed", queue=self.queue, exc_info=True)  # noqa: G201
        unsettled = [delivery for delivery in batch if not delivery.settled]
        if unsettled and unsettled[0].current:
            log.error("consumer.unsettled", queue=self.queue, count=len(unsettled))
            await self._pause(FAULT_PAUSE)
        for delivery in unsettled:
            delivery.requeue()

    async def _pause(self, length: timedelta) -> None:
        """Wait, but not while stopping."""
        try:
            async with asyncio.timeout(length.total_seconds()):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._subscribed.clear()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("consumer.died", queue=self.queue, exc_info=error)
