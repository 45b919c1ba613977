"""Who holds an attempt at a job, for how long, and when the next one comes. Transitions of one job, without effects.

Promises: the first `running` of an attempt binds it to its source; a lease lasts to its last moment, that included;
losses in a row put the next attempt off by 0, 1, 2, 4, 8 and then 15 s, until an attempt was held for a whole lease.
Refuses: judging by a late timer alone: while nobody else was given the job, a late sign of life still counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from schemas.pipeline import StopReason
from worker.domain.copies import replace
from worker.domain.model import Job, JobState

_BACKOFF_S = (0, 1, 2, 4, 8, 15)
# Timers are kept to the millisecond: one that comes by less than this too early has come.
_TIMER_GRAIN = timedelta(milliseconds=1)


class Standing(StrEnum):
    """What a reporter is to a job."""

    HOLDER = "holder"
    FREE = "free"
    """Nobody holds the attempt; whoever reports on it may be meant."""
    OTHER = "other"
    """Another instance holds it."""
    PAST = "past"
    """It is about an attempt that was lost."""
    AHEAD = "ahead"
    """It is about an attempt that was never offered."""
    OVER = "over"
    """The job has ended."""


def standing(job: Job, source: str, attempt: int | None) -> Standing:
    """What `source` is to the job when it reports on `attempt`; `None` means the one that it has now."""
    if not job.live:
        return Standing.OVER
    if attempt is not None and attempt < job.attempt:
        return Standing.PAST
    if attempt is not None and (attempt > job.attempt or job.retry_at is not None):
        return Standing.AHEAD
    if job.holder is None:
        return Standing.FREE
    return Standing.HOLDER if job.holder == source else Standing.OTHER


def offered(job: Job, now: datetime, lease: timedelta) -> Job:
    """The current attempt is on offer from now on."""
    return replace(job, deadline=now + lease, retry_at=None)


def held(job: Job, source: str, now: datetime, lease: timedelta) -> Job:
    """`source` has it and is alive: the lease begins anew."""
    since = job.running_since if job.holder == source else None
    running = replace(
        job,
        state=JobState.RUNNING,
        holder=source,
        running_since=since or now,
        deadline=now + lease,
    )
    return _with_trust(running, now, lease)


def lost(job: Job, now: datetime) -> Job:
    """The attempt is lost; the next one is due at `retry_at`."""
    backoff = timedelta(seconds=_BACKOFF_S[min(job.failures, len(_BACKOFF_S) - 1)])
    return replace(
        job,
        state=JobState.WAITING,
        attempt=job.attempt + 1,
        holder=None,
        running_since=None,
        deadline=None,
        retry_at=now + backoff,
        failures=job.failures + 1,
    )


def failed(job: Job, now: datetime, lease: timedelta) -> Job:
    """Its holder gives it up, alive to the end."""
    return lost(_with_trust(job, now, lease), now)


def ended(job: Job, now: datetime, *, reason: StopReason | None) -> Job:
    """It is over for good; `None` when it was completed. The holder stays known, for its last words."""
    return replace(
        job,
        state=JobState.ENDED,
        deadline=None,
        retry_at=None,
        ended_at=now,
        reason=reason,
        completed=reason is None,
    )


def has_come(moment: datetime, now: datetime) -> bool:
    """Whether a moment that a timer was set for is there."""
    return now > moment - _TIMER_GRAIN


def _with_trust(job: Job, now: datetime, lease: timedelta) -> Job:
    """Held for a whole lease, an attempt makes the losses before it forgotten."""
    if job.running_since is None or now - job.running_since < lease:
        return job
    return replace(job, failures=0)
