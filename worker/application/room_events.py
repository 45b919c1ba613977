"""What happens in rooms: webhooks, reports, time. From a message's bytes to state, messages and errands.

Promises: each message changes the state once, whatever its copies do; its messages are confirmed before it is
called handled; one message that fails delays those of its own room alone. `handle` may be called again with the
same messages after any error. Raises an `Outage` when the store or the broker is away: nothing is lost then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.topology import partition_of
from worker.application.config import Config
from worker.application.errands import Errands
from worker.application.inbound import Inbound, read_inbound
from worker.application.loading import load
from worker.application.outbox import Outbox
from worker.application.ports import (
    Clock,
    ErrandKind,
    OutboxMessage,
    RoomErrand,
    Store,
    Transaction,
)
from worker.application.rendering import Cause, Renderer, store
from worker.domain.decide import decide
from worker.domain.facts import Fact
from worker.domain.model import State


@dataclass(frozen=True, kw_only=True, slots=True)
class Handled:
    """The message is done: its effects are confirmed, or it was a copy."""

    name: str
    subject: str
    duplicate: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """The same bytes will never be right: they belong into the dead letters."""

    reason: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A fault while handling it. Nothing of it was kept; it may be tried again."""

    name: str
    room_name: str
    """Where LiveKit can tell what the message said. Empty for a report: its lease makes up for it, no list does."""
    error: Exception


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """Not tried: a message of its room in front of it failed."""

    name: str


Outcome = Handled | Unreadable | Failed | Behind


class _RoomBlocked(Exception):
    """Its room waits for an earlier message."""


@dataclass(kw_only=True, slots=True)
class _Applied:
    messages: list[OutboxMessage] = field(default_factory=list)
    errands: list[RoomErrand] = field(default_factory=list)
    duplicate: bool = False
    counted: list[str] = field(default_factory=list)


class RoomEvents:
    """The use case behind a partition of rooms."""

    def __init__(
        self,
        *,
        store: Store,
        outbox: Outbox,
        errands: Errands,
        renderer: Renderer,
        config: Config,
        clock: Clock,
        read_webhook: Callable[[Mapping[str, object], datetime], Fact | None],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._errands = errands
        self._renderer = renderer
        self._config = config
        self._clock = clock
        self._read_webhook = read_webhook

    async def handle(self, partition: int, bodies: Sequence[bytes]) -> Sequence[Outcome]:
        """Handle what one partition holds next, in this order; one outcome for each body."""
        now = self._clock.now()
        read = [read_inbound(body, now, self._read_webhook) for body in bodies]
        inbound = [message for message in read if isinstance(message, Inbound)]
        blocked: dict[str, int] = {}
        applied = await self._store.run_many(
            [self._work(place, message, partition, now, blocked) for place, message in enumerate(inbound)]
        )
        done = [result for result in applied if isinstance(result, _Applied)]
        await self._outbox.send([message for result in done for message in result.messages])
        self._errands.soon([errand for result in done for errand in result.errands])
        outcomes = iter(map(_outcome, inbound, applied))
        return [
            next(outcomes)
            if isinstance(message, Inbound)
            else Unreadable(reason=message.reason, error=message.error)
            for message in read
        ]

    async def parked(self, failed: Failed) -> None:
        """The message is given up: have its room compared with LiveKit. Raises an `Outage`."""
        errand = RoomErrand(
            kind=ErrandKind.LOOK_AT_ROOM, room_name=failed.room_name, due_at=self._clock.now()
        )
        if failed.room_name:
            await self._store.run(lambda tx: tx.put_errand(errand))

    def _work(
        self, place: int, message: Inbound, partition: int, now: datetime, blocked: dict[str, int]
    ) -> Callable[[Transaction], _Applied]:
        """It may be run again. `blocked`: by room, the place of the message that is not done; those behind it wait."""

        def work(tx: Transaction) -> _Applied:
            if blocked.get(message.room_name, place) < place:
                raise _RoomBlocked
            blocked[message.room_name] = place
            applied = self._apply(tx, message, partition, now)
            del blocked[message.room_name]
            return applied

        return work

    def _apply(self, tx: Transaction, message: Inbound, partition: int, now: datetime) -> _Applied:
        # Before it is marked: a report that went astray may come the right way yet, with the same id.
        reported = load(tx, message.facts[0], now) if message.is_report else None
        if reported is not None and not _belongs(reported, partition):
            return _Applied(counted=["unknown_report"])
        if not tx.mark_seen(message.key, now):
            return _Applied(messages=list(tx.outbox_of(message.key)), duplicate=True)
        if not message.facts:
            return _Applied(counted=["ignored"])
        cause = Cause(key=message.key, message_id=message.message_id, traceparent=message.traceparent)
        applied = _Applied()
        for fact in message.facts:
            self._decide(tx, fact, reported or load(tx, fact, now), cause, now, applied)
        return applied

    def _decide(
        self, tx: Transaction, fact: Fact, before: State, cause: Cause, now: datetime, applied: _Applied
    ) -> None:
        after, effects = decide(before, fact, now, self._config.policy)
        rendered = self._renderer.render(after, effects, cause, now)
        store(tx, before, rendered)
        applied.messages += rendered.messages
        applied.errands += rendered.errands
        applied.counted += rendered.counted


def _belongs(state: State, partition: int) -> bool:
    """A report counts only where its job's `report_to` leads."""
    rooms = [job.room_name for job in state.jobs.values()] + [turn.room_name for turn in state.turns.values()]
    return all(partition_of(room) == partition for room in rooms)


def _outcome(message: Inbound, applied: _Applied | Exception) -> Outcome:
    match applied:
        case _Applied():
            return Handled(
                name=message.name,
                subject=message.room_name,
                duplicate=applied.duplicate,
                counts=Counter(applied.counted) if applied.counted else {},
            )
        case _RoomBlocked():
            return Behind(name=message.name)
        case _:
            room_name = "" if message.is_report else message.room_name
            return Failed(name=message.name, room_name=room_name, error=applied)
