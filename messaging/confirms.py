"""Which published message each confirm and each return of the broker is about. Pure: no I/O.

A confirm names a delivery tag, counted from 1 on each channel. A return names none: it comes before the
confirm of its message, and returns come in the order of publishing. So a return belongs to the first
message after the last returned one with the same address, id and body. Copies in flight at once are told
apart by that order; where they cannot be, they are the same message, and one of them did not arrive.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from messaging.failures import PublishError, Refused, Unroutable
from messaging.message import Outgoing

PublishOutcome: TypeAlias = PublishError | None
"""None: the broker has it, on disk in a majority of a quorum queue's members. Else what kept it from that."""


class Batch:
    """The messages of one caller, and what became of each. An outcome that is known never changes."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        """Nothing is known yet. Needs a running event loop."""
        self.messages = messages
        self.outcomes: list[PublishOutcome] = [None] * len(messages)
        self._open = set(range(len(messages)))
        self._settled: asyncio.Future[None] | None = None

    async def settled(self, *, until_s: float) -> bool:
        """Wait until the outcome of every message is known; False when it is not at `until_s` (the loop's clock)."""
        if not self._open:
            return True
        loop = asyncio.get_running_loop()
        settled = self._settled = loop.create_future()
        # A bare timer: `asyncio.timeout` costs as much as all the rest of a message.
        timer = loop.call_at(until_s, _wake, settled)
        try:
            await settled
        finally:
            timer.cancel()
        return not self._open

    def resolve(self, index: int, outcome: PublishOutcome) -> None:
        """The outcome of one message."""
        if index in self._open:
            self._open.remove(index)
            self.outcomes[index] = outcome
            if not self._open and self._settled is not None:
                _wake(self._settled)

    def give_up(self, error: PublishError) -> None:
        """The outcome of every message whose outcome is not known yet."""
        for index in list(self._open):
            self.resolve(index, error)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Ledger:
    """The messages in flight on one channel."""

    def __init__(self) -> None:
        """The channel is new: its next message has the tag 1."""
        self._flying: dict[int, tuple[Batch, int]] = {}
        self._returned: dict[int, Unroutable] = {}
        self._next = 1
        self._lowest = 1
        self._last_returned = 0

    def __len__(self) -> int:
        """How many messages wait for their confirm."""
        return len(self._flying)

    def sent(self, batch: Batch, index: int) -> None:
        """A message was written to the channel."""
        self._flying[self._next] = (batch, index)
        self._next += 1

    def returned(
        self, *, exchange: str, routing_key: str, message_id: str | None, body: bytes, why: str
    ) -> bool:
        """The broker gave a message back; its confirm follows. False when no message in flight is like it."""
        for tag in range(max(self._last_returned + 1, self._lowest), self._next):
            if (entry := self._flying.get(tag)) is None:
                continue
            message = entry[0].messages[entry[1]]
            same_place = message.routing_key == routing_key and message.exchange == exchange
            if message.mandatory and same_place and message.message_id == message_id and message.body == body:
                self._last_returned = tag
                self._returned[tag] = Unroutable(f"{why}: no queue for {exchange!r}, {routing_key!r}")
                return True
        return False

    def confirmed(self, tag: int, *, multiple: bool, ok: bool) -> None:
        """The broker answers for `tag`, or for all up to it. An unknown tag changes nothing."""
        if multiple:
            for each in range(self._lowest, tag + 1):
                self._resolve(each, ok=ok)
            self._lowest = max(self._lowest, tag + 1)
        else:
            self._resolve(tag, ok=ok)
            while self._lowest < self._next and self._lowest not in self._flying:
                self._lowest += 1

    def fail(self, error: PublishError) -> None:
        """The channel is gone: what is in flight has an unknown outcome."""
        flying, self._flying = self._flying, {}
        for batch, index in flying.values():
            batch.resolve(index, error)

    def _resolve(self, tag: int, *, ok: bool) -> None:
        if (entry := self._flying.pop(tag, None)) is not None:
            batch, index = entry
            outcome: PublishOutcome = self._returned.pop(tag, None)
            batch.resolve(index, outcome if ok else Refused("the broker refused it (nack)"))
