"""Setting a message aside, for as long as that takes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from messaging.dead_letters import dead_letter
from messaging.delivery import Delivery
from messaging.failures import PublishError, Unsendable
from messaging.message import Incoming
from messaging.publisher import Publisher
from messaging.settlement import backoff
from worker.application.ports import Clock

log = structlog.get_logger(__name__)

_TIMEOUT = timedelta(seconds=5)


class DeadLetters:
    """Moves deliveries to the dead letters."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock

    async def put(
        self,
        delivery: Delivery,
        *,
        reason: str,
        error: str,
        attempts: int,
        as_it_came: Incoming | None = None,
    ) -> None:
        """Return when the broker has the dead letter and the delivery is settled, or when the delivery is stale.

        `as_it_came`: what to set aside, where that is not the delivery's own message.
        """
        message = as_it_came or delivery.message
        tries = 0
        while delivery.current:
            tries += 1
            try:
                await dead_letter(
                    self._publisher,
                    message,
                    reason=reason,
                    error=error,
                    attempts=attempts,
                    now=self._clock.now(),
                    timeout=_TIMEOUT,
                )
            except Unsendable as trouble:
                # AMQP has no place for it as we would write it. The broker can: by the queue's dead-letter exchange.
                log.error("dead_letter.left_to_the_broker", queue=message.queue, error=str(trouble))
                delivery.drop()
                return
            except PublishError as trouble:
                log.warning("dead_letter.postponed", queue=message.queue, error=str(trouble))
                await asyncio.sleep(backoff(tries).total_seconds())
                continue
            log.warning(
                "message.dead_lettered",
                queue=message.queue,
                message=message.message_id,
                type=message.type,
                reason=reason,
                error=error,
                attempts=attempts,
            )
            delivery.ack()
            return
