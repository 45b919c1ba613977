"""Requests and their replies: publish a command, wait for the answer that carries its correlation id.

Replies come to one exclusive queue with a name that stays the same over reconnects. It does not outlive its
connection, so a reply that is sent while we are away is lost: nothing is sent again by itself, the requests that
wait are told at once, and repeating one under the same message id gives the same answer.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import uuid4

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.delivery import Delivery
from messaging.failures import BrokerUnavailable, PublishTimeout, RequestTimeout
from messaging.message import Incoming, Outgoing
from messaging.publisher import DEFAULT_PATIENCE, Publisher

_PREFETCH: Final = 200
_CLOSE_DRAIN: Final = timedelta(seconds=1)


class Requester:
    """Sends requests and matches their replies. Any number may wait at once.

    `patience`: how soon a request says BrokerUnavailable when the broker is away.
    `confirm_within`: how soon it says PublishTimeout when the broker is there and silent; its deadline at the latest.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        patience: timedelta = DEFAULT_PATIENCE,
        confirm_within: timedelta | None = None,
    ) -> None:
        """Nothing is consumed before `start`."""
        self.reply_queue = f"june.replies.{uuid4()}"
        self._patience = patience
        self._confirm_within = confirm_within
        self._publisher = Publisher(broker, patience=patience)
        self._waiting: dict[str, asyncio.Future[Incoming]] = {}
        self._replies = Consumer(
            broker, self.reply_queue, self._take, prefetch=_PREFETCH, exclusive=True, on_lost=self._lose
        )

    @property
    def ready(self) -> bool:
        """Replies can reach us at this moment."""
        return self._replies.subscribed

    def start(self) -> None:
        """Begin to listen for replies, in the background. Idempotent."""
        self._replies.start()

    async def close(self) -> None:
        """Stop listening. Requests that still wait end in RequestTimeout at their deadline. Idempotent."""
        await self._replies.stop(_CLOSE_DRAIN)

    async def request(self, command: Outgoing, *, timeout: timedelta) -> Incoming:
        """Publish `command` and return its reply; our own correlation id and reply queue are set on it.

        Raises RequestTimeout (outcome unknown), BrokerUnavailable and the other PublishErrors. A command that
        arrived is not taken back by any of them; BrokerUnavailable may also mean that its reply was lost.
        """
        correlation_id = uuid4().hex
        reply: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = reply
        sent = False
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                addressed = command._replace(reply_to=self.reply_queue, correlation_id=correlation_id)
                await self._send(addressed, min(timeout, self._confirm_within or timeout))
                sent = True
                return await reply
        except TimeoutError as error:
            if not sent:
                raise PublishTimeout(timeout) from error
            raise RequestTimeout(f"no reply within {timeout.total_seconds():g} s") from error
        finally:
            del self._waiting[correlation_id]
            if not reply.cancel() and not reply.cancelled():
                reply.exception()  # seen, so that asyncio does not complain about one that nobody awaited

    async def _send(self, command: Outgoing, confirm_within: timedelta) -> None:
        """Return once the broker has it, and the reply can reach us."""
        try:
            async with asyncio.timeout(confirm_within.total_seconds()):
                await self._replies.wait_subscribed(patience=self._patience)
                await self._publisher.publish(command, timeout=confirm_within)
        except TimeoutError as error:
            raise PublishTimeout(confirm_within) from error

    def _lose(self) -> None:
        """The queue is gone, and with it every reply that is on its way."""
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(BrokerUnavailable("lost before the reply"))

    async def _take(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            reply = self._waiting.get(delivery.message.correlation_id or "")
            if reply is not None and not reply.done():
                reply.set_result(delivery.message)
            delivery.ack()
