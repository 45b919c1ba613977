"""Settlements of one channel, gathered into few frames. Pure: gives bytes, sends nothing.

A delivery may be settled in any order. What is settled without a gap from the oldest on, in the same way, is
one frame with `multiple`; the rest is a frame each. Every delivery is in exactly one frame's reach, once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from messaging.wire.frames import encode_settle


class Verdict(StrEnum):
    """What is to become of a delivery."""

    ACK = "ack"
    """Done with."""
    REQUEUE = "requeue"
    """Back to its queue; a quorum queue counts it."""
    DROP = "drop"
    """Gone, or to the queue's dead-letter exchange if it has one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    """One frame: `verdict` for `tag`, or for all up to it that are not settled yet."""

    tag: int
    multiple: bool
    verdict: Verdict

    def encode(self, channel: int) -> bytes:
        """basic.ack or basic.nack."""
        return encode_settle(
            channel,
            self.tag,
            multiple=self.multiple,
            nack=self.verdict is not Verdict.ACK,
            requeue=self.verdict is Verdict.REQUEUE,
        )


class Acknowledger:
    """Delivery tags count from 1 on each channel, in the order of the deliveries."""

    def __init__(self) -> None:
        """Nothing was delivered yet."""
        self._verdicts: dict[int, Verdict] = {}
        self._sent: set[int] = set()
        self._oldest = 1

    def settle(self, tag: int, verdict: Verdict) -> bool:
        """Remember a verdict; True when it is the first since the last `take`."""
        self._verdicts[tag] = verdict
        return len(self._verdicts) == 1

    def take(self) -> list[Settle]:
        """The frames for what was settled since the last time, in an order that the broker understands."""
        settles = list(self._runs())
        rest = sorted(self._verdicts.items())
        settles += [Settle(tag=tag, multiple=False, verdict=verdict) for tag, verdict in rest]
        self._sent.update(self._verdicts)
        self._verdicts.clear()
        return settles

    def _runs(self) -> Iterator[Settle]:
        """Runs of the same verdict, from the oldest delivery on, up to the first that is not settled."""
        last: int | None = None
        run: Verdict | None = None
        while (verdict := self._verdicts.pop(self._oldest, None)) is not None or self._oldest in self._sent:
            if verdict is not None:
                if run is not None and last is not None and verdict is not run:
                    yield Settle(tag=last, multiple=True, verdict=run)
                last, run = self._oldest, verdict
            self._sent.discard(self._oldest)
            self._oldest += 1
        if run is not None and last is not None:
            yield Settle(tag=last, multiple=True, verdict=run)
