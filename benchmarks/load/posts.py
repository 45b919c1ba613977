"""Posts webhooks over keep-alive connections, each its next one as soon as the last is answered, for a given time.

`python -m benchmarks.load.posts PORT SECONDS`. Reports `seconds` and `answers` by status.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Iterator

import uvloop

from benchmarks.calls import STORY, webhook
from benchmarks.load.http import Connection, signed_request
from benchmarks.load.report import moment_s, report
from benchmarks.plan import CONNECTIONS

_POOL_CALLS = 200
_WARM_UP_S = 0.2


class Caller(Connection):
    """One that posts its next as soon as the last is answered. `finished` is set once `until` has passed, or has the
    reason why it ended."""

    def __init__(self, requests: Iterator[bytes], from_s: float, until_s: float) -> None:
        super().__init__()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers: Counter[str] = Counter()
        """By status; those of the warm-up under `early`."""
        self._requests = requests
        self._from_s = from_s
        self._until_s = until_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write(next(self._requests))

    def answered(self, status: str) -> None:
        """Count it, and go on."""
        now = moment_s()
        self.answers["early" if now < self._from_s else status] += 1
        if now < self._until_s:
            self.write(next(self._requests))
            return
        if not self.finished.done():
            self.finished.set_result(None)
        self.close()

    def ended(self, error: Exception) -> None:
        """What went wrong, unless it is over."""
        if not self.finished.done():
            self.finished.set_exception(error)
        self.close()


def requests() -> list[bytes]:
    """Signed ones, ready to be written."""
    return [signed_request(webhook(f"post-{call}", event)) for call in range(_POOL_CALLS) for event in STORY]


async def run(port: int, seconds: float) -> None:
    pool = itertools.cycle(requests())
    from_s = moment_s() + _WARM_UP_S
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(CONNECTIONS):
        _, caller = await loop.create_connection(
            lambda: Caller(pool, from_s, from_s + seconds), "127.0.0.1", port
        )
        callers.append(caller)
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(caller.finished for caller in callers))
    took_s = moment_s() - from_s
    answers = sum((caller.answers for caller in callers), Counter())
    report({"seconds": took_s, "answers": dict(answers)})


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(int(sys.argv[1]), float(sys.argv[2])))
