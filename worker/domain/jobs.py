"""Transcription jobs: offered for each voice, held by lease, given again when lost, stopped with the voice.

Promises: `june.job.changed.v1` tells each change of state and attempt once; a heartbeat alone tells nothing. Whoever
reports on what it should not have is told to stop, once for each such report. Every function may be called again with
what it has done already. Refuses: words (`transcripts`) and the question of what a voice is (`voices`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, assert_never

from schemas.events import JobChanged
from schemas.events import JobState as WireJobState
from schemas.participants import ParticipantRef
from schemas.pipeline import StopReason, SttStop
from schemas.reports import SttState, SttStatus
from worker.domain import leases
from worker.domain.changes import with_jobs
from worker.domain.effects import Announce, Broadcast, Count, Effect, OfferJob, Wake
from worker.domain.leases import Standing
from worker.domain.model import Job, JobId, State
from worker.domain.policy import Policy

Decision = tuple[State, tuple[Effect, ...]]

TIMER = "job:"
"""The keys of the jobs' moments begin so; the job's id follows."""


def start(state: State, job: Job, now: datetime, policy: Policy) -> Decision:
    """Offer the first attempt at a new job; nothing when the job is known."""
    if job.job_id in state.jobs:
        return state, ()
    return _offer(state, job, now, policy, before=(changed(job),))


def stop(state: State, jobs: Iterable[Job], reason: StopReason, now: datetime) -> Decision:
    """End the live ones of these: every instance is told, then everybody else."""
    live = [job for job in jobs if job.live]
    stops = [Broadcast(message=stop_message(job, reason, attempt=None, instance=None)) for job in live]
    over = [leases.ended(job, now, reason=reason) for job in live]
    return with_jobs(state, *over), (*stops, *(changed(job) for job in over))


def reported(state: State, source: str, report: SttStatus, now: datetime, policy: Policy) -> Decision:
    """What a service says of its attempt."""
    job = state.jobs.get(JobId(report.job_id))
    if job is None:
        return state, (Count(name="unknown_report"),)
    match leases.standing(job, source, report.attempt):
        case Standing.HOLDER | Standing.FREE:
            return _advance(state, job, source, report.state, now, policy)
        case Standing.AHEAD:
            return state, (Count(name="unknown_report"),)
        case Standing.OVER if report.state is not SttState.RUNNING:
            return state, (Count(name="late_report"),)
        case Standing.OTHER | Standing.PAST if report.state is SttState.FAILED:
            return state, (Count(name="stale_report"),)
        case Standing.OTHER | Standing.PAST | Standing.OVER:
            return state, (told_to_stop(job, source, report.attempt),)
        case unexpected:
            assert_never(unexpected)


def time_came(state: State, job_id: JobId, now: datetime, policy: Policy) -> Decision:
    """A lease may have run out, or a backoff be over; too early, it is asked for again."""
    job = state.jobs.get(job_id)
    if job is None or not job.live:
        return state, ()
    if job.retry_at is not None:
        if leases.has_come(job.retry_at, now):
            return _offer(state, job, now, policy)
        return state, (_wake_again(job, job.retry_at, now, policy),)
    if job.deadline is None:
        return state, ()
    if leases.has_come(job.deadline, now):
        return _lose_silent(state, job, now, policy)
    return state, (_wake_again(job, job.deadline, now, policy),)


def told_to_stop(job: Job, source: str, attempt: int | None) -> Broadcast:
    """The stop for one instance that reports on what it should not have. `None` means the job's current attempt."""
    reason = StopReason.SUPERSEDED if job.live or job.reason is None else job.reason
    return Broadcast(message=stop_message(job, reason, attempt=attempt or job.attempt, instance=source))


def stop_message(job: Job, reason: StopReason, *, attempt: int | None, instance: str | None) -> SttStop:
    """`june.stt.stop.v1`; `None` means all attempts, and whoever has them."""
    return SttStop(
        job_id=job.job_id,
        attempt=attempt,
        instance=instance,
        session_id=job.session_id,
        track_sid=job.track_sid,
        reason=reason,
    )


def changed(job: Job) -> Announce:
    """`june.job.changed.v1` of the job as it is now."""
    reason: StopReason | Literal["completed"] | None = "completed" if job.completed else job.reason
    return Announce(
        event=JobChanged(
            session_id=job.session_id,
            job_id=job.job_id,
            participant=ParticipantRef(sid=job.participant_sid, identity=job.identity),
            track_sid=job.track_sid,
            state=WireJobState(job.state),
            attempt=job.attempt,
            reason=reason,
        )
    )


def _advance(state: State, job: Job, source: str, said: SttState, now: datetime, policy: Policy) -> Decision:
    match said:
        case SttState.RUNNING:
            running = leases.held(job, source, now, policy.lease)
            news = () if job.holder == source else (changed(running),)
            return with_jobs(state, running), news
        case SttState.COMPLETED:
            over = leases.ended(job, now, reason=None)
            return with_jobs(state, over), (changed(over),)
        case SttState.FAILED:
            return _next_attempt(state, leases.failed(job, now, policy.lease), now, policy)
        case _:
            assert_never(said)


def _lose_silent(state: State, job: Job, now: datetime, policy: Policy) -> Decision:
    """Nobody was heard for a lease. Its holder may still be at work and only unheard, so it is told to stop."""
    stops = () if job.holder is None else (told_to_stop(job, job.holder, job.attempt),)
    after, effects = _next_attempt(state, leases.lost(job, now), now, policy)
    return after, (*stops, *effects)


def _next_attempt(state: State, job: Job, now: datetime, policy: Policy) -> Decision:
    if job.retry_at is None or leases.has_come(job.retry_at, now):
        return _offer(state, job, now, policy, before=(changed(job),))
    return with_jobs(state, job), (changed(job), _wake(job, job.retry_at))


def _offer(
    state: State, job: Job, now: datetime, policy: Policy, *, before: tuple[Effect, ...] = ()
) -> Decision:
    offer = leases.offered(job, now, policy.lease)
    return with_jobs(state, offer), (*before, OfferJob(job=offer), _wake(offer, now + policy.lease))


def _wake(job: Job, at: datetime) -> Wake:
    return Wake(key=f"{TIMER}{job.job_id}", at=at)


def _wake_again(job: Job, at: datetime, now: datetime, policy: Policy) -> Wake:
    """A moment came early: most often its lease was renewed since.

    When it was early by a little, it is `at` itself, on the clock of a worker that is ahead. Asked for again, it would
    be taken for a copy of the one that is handled now, so it is put off by as much as that clock is ahead.
    """
    early = at - now
    return _wake(job, at + early if early < policy.lease / 10 else at)
