"""Forgetting what nobody needs any more: ended sessions, and the memory of messages and answers.

Promises: small steps with pauses between, by one worker at a time; a command between two steps feels nothing.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from worker.application.ports import Clock, Store

log = structlog.get_logger(__name__)

_CLAIM = "retention"
_STEP = 200
_PAUSE = timedelta(milliseconds=50)
_ROUND = timedelta(minutes=10)
"""How long one worker keeps the duty; the next round begins after it."""


class Retention:
    """Purges. `kept`: how long ended sessions stay."""

    def __init__(self, *, store: Store, clock: Clock, holder: str, kept: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._kept = kept

    async def round(self) -> int:
        """Purge all that is due, if it is this worker's turn; how many rows and sessions went."""
        now = self._clock.now()
        if not await self._store.claim(_CLAIM, self._holder, now=now, until=now + _ROUND):
            return 0
        purged = 0
        while step := await self._store.purge(now, retention=self._kept, limit=_STEP):
            purged += step
            await asyncio.sleep(_PAUSE.total_seconds())
        if purged:
            log.info("retention.purged", purged=purged)
        return purged
