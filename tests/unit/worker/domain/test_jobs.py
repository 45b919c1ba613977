"""Transcription jobs: leases, attempts, and who is told to stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.participants import ParticipantKind
from schemas.pipeline import StopReason
from schemas.reports import SttState
from tests.support.memory_domain import MemoryDomain, of, story
from tests.unit.worker.domain.facts import (
    LEASE,
    TICK,
    completed,
    failed,
    left,
    room_finished,
    running,
    status,
    the_job,
    unpublished,
)
from worker.domain import jobs
from worker.domain.effects import OfferJob, Wake
from worker.domain.facts import Fact, TimeCame
from worker.domain.model import JobState, State
from worker.domain.voices import is_own_bot, job_id_of

S = timedelta(seconds=1)
SECOND_OFFER = ["job TR_1 waiting 2", "offer TR_1 2"]


def _beat(domain: MemoryDomain, duration: timedelta, *, attempt: int = 1) -> list[str]:
    """The holder reports every third of a lease, for as long as that."""
    lines: list[str] = []
    for _ in range(duration // (LEASE / 3)):
        lines += story(domain.wait(LEASE / 3))
        lines += story(domain.give(running(attempt)))
    return lines


def test_the_first_running_holds_the_job(domain: MemoryDomain) -> None:
    """It binds the attempt to its source and is told once; heartbeats tell nothing."""
    assert story(domain.give(running())) == ["job TR_1 running 1"]
    assert the_job(domain).holder == "stt-a"
    assert domain.give(running(), running()) == []


def test_heartbeats_hold_the_lease(domain: MemoryDomain) -> None:
    """A holder that reports in time keeps the job for as long as it likes, with one timer under way."""
    domain.give(running())
    assert _beat(domain, 10 * LEASE) == []
    assert the_job(domain).attempt == 1


def test_an_offer_that_nobody_takes_is_made_again(domain: MemoryDomain) -> None:
    """After a lease without a word the next attempt is offered; there is nobody to stop."""
    assert domain.wait(LEASE - TICK) == []
    assert story(domain.wait(TICK)) == SECOND_OFFER
    assert the_job(domain).deadline == domain.now + LEASE


def test_silence_for_a_lease_loses_the_job(domain: MemoryDomain) -> None:
    """The silent holder is told to stop, and the next attempt is offered at once."""
    domain.give(running())
    domain.wait(LEASE - TICK)
    assert the_job(domain).attempt == 1
    assert story(domain.wait(TICK)) == ["stop TR_1 1 stt-a superseded", *SECOND_OFFER]


def test_a_lease_is_counted_from_the_last_running(domain: MemoryDomain) -> None:
    """Silence begins with the last heartbeat."""
    domain.give(running())
    domain.wait(20 * S)
    domain.give(running())
    assert story(domain.wait(LEASE - TICK)) == []
    assert "offer TR_1 2" in story(domain.wait(TICK))


@pytest.mark.parametrize("before", [(), (running(),)], ids=["offered", "held"])
def test_failed_brings_the_next_attempt_at_once(domain: MemoryDomain, before: tuple[Fact, ...]) -> None:
    """A first loss costs no time; who said so needs no stop."""
    domain.give(*before)
    assert story(domain.give(failed())) == SECOND_OFFER


def test_losses_in_a_row_are_put_off(domain: MemoryDomain) -> None:
    """The attempts come after 0, 1, 2, 4, 8, 15 and 15 s."""
    waits = []
    for attempt in range(1, 8):
        domain.give(running(attempt), failed(attempt))
        since = domain.now
        while the_job(domain).retry_at is not None:
            domain.wait(TICK * 100)
        offer = of(domain.log, OfferJob)[-1].job
        assert offer.attempt == attempt + 1
        assert offer.deadline is not None
        waits.append((offer.deadline - LEASE - since) / S)
    assert waits == [0, 1, 2, 4, 8, 15, 15]


def test_a_loss_is_told_before_its_next_offer(domain: MemoryDomain) -> None:
    """While the backoff runs the job is waiting, in the attempt to come."""
    domain.give(failed(1))
    assert story(domain.give(failed(2))) == ["job TR_1 waiting 3"]
    assert story(domain.wait(1 * S - TICK)) == []
    assert story(domain.wait(TICK)) == ["offer TR_1 3"]


def test_a_whole_lease_held_forgets_losses(domain: MemoryDomain) -> None:
    """`running` held for a lease makes the next loss a first one; held for less it does not."""
    domain.give(failed(1), failed(2))
    domain.wait(1 * S)
    domain.give(running(3))
    _beat(domain, LEASE, attempt=3)
    assert story(domain.give(failed(3)))[-1] == "offer TR_1 4"


def test_less_than_a_lease_forgets_nothing(domain: MemoryDomain) -> None:
    """An attempt that dies with its first breath does not reset the backoff, however late that is noticed."""
    domain.give(failed(1), running(2))
    domain.wait(LEASE)
    assert the_job(domain).failures == 2
    assert the_job(domain).retry_at == domain.now + 1 * S


def test_failed_before_a_lease_forgets_nothing(domain: MemoryDomain) -> None:
    """An attempt that was held for a moment less than a lease is one more loss in the row."""
    domain.give(failed(1), running(2))
    domain.wait(LEASE - TICK)
    domain.give(running(2))
    assert story(domain.give(failed(2))) == ["job TR_1 waiting 3"]
    assert the_job(domain).retry_at == domain.now + 1 * S


def test_failed_after_a_lease_forgets_losses(domain: MemoryDomain) -> None:
    """Alive for a whole lease and then draining, a holder leaves without a backoff."""
    domain.give(failed(1), running(2))
    domain.wait(20 * S)
    domain.give(running(2))
    domain.wait(11 * S)
    assert story(domain.give(failed(2)))[-1] == "offer TR_1 3"


def test_completed_ends_the_job_for_good(domain: MemoryDomain) -> None:
    """Nobody is told to stop, and no attempt follows."""
    domain.give(running())
    assert story(domain.give(completed())) == ["job TR_1 ended 1 completed"]
    assert domain.wait(10 * LEASE) == []
    assert story(domain.give(unpublished())) == ["unpublished TR_1"]


def test_a_job_that_is_known_is_not_started_again(domain: MemoryDomain) -> None:
    """Live or ended: a voice has one job."""
    for fact in (running(), completed()):
        domain.give(fact)
        known = the_job(domain)
        state = State(jobs={known.job_id: known})
        again = jobs.start(state, replace(known, attempt=1, holder=None), domain.now, domain.policy)
        assert again == (state, ())


def test_completed_counts_when_nobody_holds_it(domain: MemoryDomain) -> None:
    """Who never said `running` may complete."""
    assert story(domain.give(completed())) == ["job TR_1 ended 1 completed"]


@pytest.mark.parametrize("said", [running, completed])
def test_another_than_the_holder_is_told_to_stop(domain: MemoryDomain, said: type[Fact]) -> None:
    """Each report of a second instance is answered by one stop that names it; the holder keeps the job."""
    domain.give(running(by="stt-a"))
    assert story(domain.give(said(by="stt-b"))) == ["stop TR_1 1 stt-b superseded"]  # type: ignore[call-arg]
    assert (the_job(domain).holder, the_job(domain).state) == ("stt-a", JobState.RUNNING)


def test_another_one_may_not_fail_the_job(domain: MemoryDomain) -> None:
    """`failed` by who does not hold it loses nothing."""
    domain.give(running(by="stt-a"))
    assert story(domain.give(failed(by="stt-b"))) == ["count stale_report"]
    assert the_job(domain).attempt == 1


@pytest.mark.parametrize("taken", [False, True])
def test_a_lost_attempt_is_told_to_stop(domain: MemoryDomain, taken: bool) -> None:
    """A holder that comes back after its attempt was lost is stopped, and stops mean its attempt alone."""
    domain.give(running(1, by="stt-a"))
    domain.wait(LEASE)
    if taken:
        domain.give(running(2, by="stt-b"))
    assert story(domain.give(running(1, by="stt-a"))) == ["stop TR_1 1 stt-a superseded"]
    assert the_job(domain).holder == ("stt-b" if taken else None)


def test_a_lost_attempt_is_told_to_stop_in_the_backoff(domain: MemoryDomain) -> None:
    """While the next attempt waits, the lost one is not taken back."""
    domain.give(failed(1), running(2))
    domain.wait(LEASE)
    assert story(domain.give(running(2))) == ["stop TR_1 2 stt-a superseded"]


def test_the_same_instance_may_take_the_next_attempt(domain: MemoryDomain) -> None:
    """Nothing is held against an instance that lost an earlier one."""
    domain.give(running(1), failed(1))
    assert story(domain.give(running(2))) == ["job TR_1 running 2"]


@pytest.mark.parametrize("state", SttState)
def test_an_attempt_that_was_never_offered_counts_nothing(domain: MemoryDomain, state: SttState) -> None:
    """A report on an attempt to come is counted and changes nothing."""
    for attempt_to_come, before in ((2, ()), (3, (failed(1), failed(2)))):
        domain.give(*before)
        job = the_job(domain)
        assert story(domain.give(status(state, attempt_to_come))) == ["count unknown_report"]
        assert the_job(domain) == job


@pytest.mark.parametrize("state", SttState)
def test_an_unknown_job_is_counted(domain: MemoryDomain, state: SttState) -> None:
    """A report that names nothing June knows changes nothing."""
    job = the_job(domain)
    assert story(domain.give(status(state, track="TR_other"))) == ["count unknown_report"]
    assert the_job(domain) == job


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (unpublished(), StopReason.TRACK_UNPUBLISHED),
        (left(), StopReason.PARTICIPANT_LEFT),
        (room_finished(), StopReason.ROOM_FINISHED),
        (completed(), StopReason.SUPERSEDED),
    ],
)
def test_who_runs_on_after_the_end_is_told_again(domain: MemoryDomain, end: Fact, reason: StopReason) -> None:
    """`running` on a job that has ended is answered by a stop with the reason of its end; last words are not."""
    domain.give(running(), end)
    assert story(domain.give(running())) == [f"stop TR_1 1 stt-a {reason}"]
    assert story(domain.give(completed(), failed())) == ["count late_report"] * 2
    assert the_job(domain).state is JobState.ENDED


def test_a_job_that_ended_is_not_given_again(domain: MemoryDomain) -> None:
    """A track that ends during a backoff, or during a lease, leaves no attempt behind."""
    domain.give(failed(1), failed(2), unpublished())
    assert domain.wait(10 * LEASE) == []


def test_a_late_heartbeat_counts_until_the_loss_is_noticed(domain: MemoryDomain) -> None:
    """A worker that slept through a lease does not punish a holder whose heartbeat waited with it."""
    domain.give(running())
    domain.now += 2 * LEASE
    assert domain.give(running()) == []
    assert story(domain.give(TimeCame(session_id=the_job(domain).session_id, key=_key(domain)))) == []


def test_a_moment_may_come_twice(domain: MemoryDomain) -> None:
    """A copy of a moment finds the next lease running, and changes nothing."""
    domain.wait(LEASE)
    attempt = the_job(domain).attempt
    domain.give(TimeCame(session_id=the_job(domain).session_id, key=_key(domain)))
    assert the_job(domain).attempt == attempt


def test_a_moment_that_is_early_is_asked_for_anew(domain: MemoryDomain) -> None:
    """By the clock of a worker that is behind, a moment is early; it is asked for at another time, or it would be lost
    as a copy of itself."""
    deadline = the_job(domain).deadline
    assert deadline is not None
    domain.now = deadline - timedelta(milliseconds=50)
    (wake,) = domain.give(TimeCame(session_id=the_job(domain).session_id, key=_key(domain)))
    assert isinstance(wake, Wake)
    assert deadline < wake.at < deadline + 1 * S


def test_a_moment_may_be_early_by_its_rounding(domain: MemoryDomain) -> None:
    """Timers are kept to the millisecond: one that was rounded down has come."""
    deadline = the_job(domain).deadline
    assert deadline is not None
    domain.now = deadline - timedelta(microseconds=999)
    moment = TimeCame(session_id=the_job(domain).session_id, key=_key(domain))
    assert story(domain.give(moment)) == SECOND_OFFER


def test_moments_of_other_jobs_are_nothing(domain: MemoryDomain) -> None:
    """A moment whose job is not known changes nothing."""
    session_id = the_job(domain).session_id
    assert domain.give(TimeCame(session_id=session_id, key="job:other")) == []


def test_ids_name_voices() -> None:
    """A voice has one id, and no two voices of any rooms share one, however their sids are cut."""
    assert job_id_of("a", "bc") == job_id_of("a", "bc")  # type: ignore[arg-type]
    assert job_id_of("a", "bc") != job_id_of("ab", "c")  # type: ignore[arg-type]
    assert not is_own_bot(ParticipantKind.AGENT, "my-june-stt-1")


def _key(domain: MemoryDomain) -> str:
    return f"job:{the_job(domain).job_id}"
