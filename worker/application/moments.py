"""Moments that the domain asked for: due ones are put into their room's partition, so that they keep its order.

Promises: a moment that is due is given to the domain at least once. It may be late or doubled, and the domain looks at
the state. Raises an `Outage` when the store or the broker is away; the next round goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas import topology
from schemas.envelope import SOURCE, Envelope, encode
from schemas.errors import FieldProblem, MessageInvalid
from worker.application.ports import Clock, DueTimer, OutboxMessage, Publisher, Store
from worker.domain.facts import TimeCame
from worker.domain.model import SessionId

MOMENT_TYPE = "june.moment.v1"
"""Internal: from a worker to the partition of a room. Nobody else sends or reads it."""

_CLAIM = timedelta(seconds=15)


class Moments:
    """Takes due timers from the store to the partitions."""

    def __init__(self, *, store: Store, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock

    async def round(self, *, limit: int = 500) -> int:
        """Send on what is due now; how many moments that were."""
        now = self._clock.now()
        due = await self._store.due_timers(now, limit=limit, claim=_CLAIM)
        if due:
            await self._publisher.publish([_message(timer, now) for timer in due])
            for timer in due:
                await self._store.done_timer(timer)
        return len(due)


def read_moment(envelope: Envelope) -> TimeCame:
    """The fact in a moment's envelope. Raises `MessageInvalid`."""
    session_id, key = _text(envelope.data, "session_id"), _text(envelope.data, "key")
    return TimeCame(session_id=SessionId(session_id), key=key)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise MessageInvalid(f"{MOMENT_TYPE} breaks its rules", [FieldProblem(name, "must be a string")])
    return value


def _message(timer: DueTimer, now: datetime) -> OutboxMessage:
    # The moment of sending keeps one that came early from being taken for a copy of itself when it comes again.
    message_id = f"moment|{timer.session_id}|{_ms(timer.due_at)}|{_ms(now)}|{timer.key}"
    envelope = Envelope(
        id=message_id[:255],
        source=SOURCE,
        type=MOMENT_TYPE,
        subject=timer.session_id,
        time=timer.due_at,
        partitionkey=timer.room_name,
        data={"session_id": timer.session_id, "key": timer.key},
    )
    return OutboxMessage(
        message_id=envelope.id,
        session_id=timer.session_id,
        cause=envelope.id,
        correlation_id=envelope.id,
        exchange=topology.ROOMS,
        routing_key=topology.room_event_key(timer.room_name, "moment"),
        type=MOMENT_TYPE,
        body=encode(envelope),
        created_at=now,
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
