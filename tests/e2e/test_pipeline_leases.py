"""Leases of the pipeline from outside: attempts, silence, backoff, last words (contract.md §5), on short leases.

The stories wait for time to pass, and are begun side by side; each is a case of `test_leases`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import timedelta

import pytest
import pytest_asyncio

from tests.e2e.calls import (
    Call,
    asked,
    cancels,
    changes,
    over,
    side_by_side,
    spoken,
    stop,
    stops,
)
from tests.e2e.client import Client, types
from tests.e2e.installation import JUNE_SENDS, Install, Installation
from tests.e2e.names import ADDED, JOB, SPEAK, START, STOP, TURN, TURN_OVER
from tests.e2e.shapes import moment
from tests.e2e.webhooks import microphone, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEASE_S = 4
LEASE = timedelta(seconds=LEASE_S)
LAST_WORDS_S = 10
BUSY_S = 2.5
"""By how much a moment may be late on a busy machine."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """Short leases."""
    return {"JUNE_JOB_LEASE_S": str(LEASE_S)}


async def a_job_that_nobody_takes(client: Client, call: Call) -> None:
    """Each attempt expires in the queue when it says, a lease after its time. The next come after 0 and 1 s, and the
    queue never holds more than what may still be begun."""
    await call.begin()
    offers = [await call.nth(START, number) for number in range(1, 4)]
    assert {offer.data["job_id"] for offer in offers} == {offers[0].data["job_id"]}
    assert [offer.data["attempt"] for offer in offers] == [1, 2, 3]
    for offer in offers:
        assert moment(offer.data["expires_at"]) - moment(offer.envelope["time"]) == LEASE
        assert offer.message.expiration == LEASE_S
    times = [moment(offer.envelope["time"]) for offer in offers]
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]
    for gap, backoff in zip(gaps, (0, 1), strict=True):
        assert 0 <= gap - LEASE_S - backoff < BUSY_S
    waiting = await client.drain("june.stt.jobs.v1")
    await waiting.first(lambda one: one.data["attempt"] == 3 and call.is_mine(one))
    assert all(one.data["attempt"] == 3 for one in waiting.all if call.is_mine(one))
    assert changes(await call.all())[:3] == [("waiting", n, None) for n in (1, 2, 3)]


async def running_holds_a_job(client: Client, call: Call) -> None:
    """The first `running` binds the attempt to its instance, heartbeats hold it over leases, silence for one loses it:
    its holder is told to stop, and the same job is offered again."""
    job = await call.begin()
    until = time.monotonic() + 1.5 * LEASE_S
    while time.monotonic() < until:
        await call.stt(job, "running")
        await asyncio.sleep(LEASE_S / 3)
    assert changes(await call.all()) == [("waiting", 1, None), ("running", 1, None)]
    again = await call.nth(START, 2)
    assert (again.data["job_id"], again.data["attempt"]) == (job["job_id"], 2)
    await call.stt(job, "running", by="stt-1")
    await call.stt(again.data, "running", by="stt-2")
    await call.stt(again.data, "running", by="stt-1")
    messages = await call.all()
    assert stops(messages) == [stop(1, "stt-1"), stop(1, "stt-1"), stop(2, "stt-1")]
    assert changes(messages)[2:] == [("waiting", 2, None), ("running", 2, None)]


async def failed_brings_the_next_attempt(client: Client, call: Call) -> None:
    """After 0, 1 and 2 s; a `running` that was not held for a whole lease does not reset that."""
    job = await call.begin()
    gaps = []
    for attempt in (1, 2, 3):
        await call.stt(job, "running", by=f"stt-{attempt}")
        await call.stt(job, "failed", by=f"stt-{attempt}", error="draining")
        told = await call.nth(JOB, 2 * attempt + 1)
        assert changes([told]) == [("waiting", attempt + 1, None)]
        offer = await call.nth(START, attempt + 1)
        gaps.append(moment(offer.envelope["time"]) - moment(told.envelope["time"]))
        job = offer.data
    for gap, backoff in zip(gaps, (0, 1, 2), strict=True):
        assert 0 <= gap.total_seconds() - backoff < BUSY_S
    assert stops(await call.all()) == []


async def completed_is_for_good(client: Client, call: Call) -> None:
    """No attempt, no stop and no webhook brings the job back; who runs on is told to stop."""
    job = await call.begin()
    await call.stt(job, "running")
    await call.stt(job, "completed")
    bob, other = person("bob"), microphone()
    await call.webhook(call.story.published(call.ann, call.mic), call.story.joined(call.ann))
    await call.joins(bob, other)
    second = (await call.nth(START, 2)).data
    assert second["track"]["sid"] == other["sid"]
    await call.stt(second, "running")
    await call.stt(job, "running")
    await call.webhook(call.story.unpublished(call.ann, call.mic), call.story.left(call.ann))
    messages = await call.all()
    assert stops(messages) == [stop(1, "stt-1")]
    assert [one.data["reason"] for one in messages if one.type == JOB and one.data["state"] == "ended"] == [
        "completed"
    ]
    again = await call.nth(START, 3)
    assert again.data["job_id"] == second["job_id"]


async def last_words(client: Client, call: Call) -> None:
    """Finals of the holder count for ten seconds after the job's end; then they are answered by a stop."""
    job = await call.begin(ai={"enabled": False})
    await call.stt(job, "running")
    await call.webhook(call.story.unpublished(call.ann, call.mic))
    ended = await call.nth(STOP)
    await call.says(job, "not mine", by="stt-2")
    await call.nth(STOP, 2)
    number = 0
    while len(call.of(STOP)) < 3:
        number += 1
        await call.says(job, f"word {number}")
        await call.some(number + 2, ADDED, STOP)
        await asyncio.sleep(0.2)
    taken = call.of(ADDED)
    end = moment(ended.envelope["time"])
    assert [one.data["text"] for one in taken] == [f"word {n}" for n in range(1, number)]
    assert moment(taken[-1].envelope["time"]) - end <= timedelta(seconds=LAST_WORDS_S)
    assert moment(call.of(STOP)[2].envelope["time"]) - end > timedelta(seconds=LAST_WORDS_S)
    assert stops(call.of(STOP)[2:]) == [stop(1, "stt-1", "track_unpublished")]


async def an_ai_that_is_silent(client: Client, call: Call) -> None:
    """The turn is given twice, a lease each; then it is over, empty. Whoever answers late is told to stop."""
    _, turn = await asked(call)
    second = (await call.nth(TURN, 2)).data
    assert (second["turn_id"], second["attempt"], second["text"]) == (turn["turn_id"], 2, turn["text"])
    await call.answers(turn, 0, "late", by="ai-1", final=True)
    await call.ai(second, "running", by="ai-2")
    await call.answers(turn, 0, "later", by="ai-1", final=True)
    await call.nth(TURN_OVER)
    await call.answers(second, 0, "too late", by="ai-2", final=True)
    await call.answers(turn, 0, "too late", by="ai-1", final=True, attempt=None)
    messages = await call.all()
    assert cancels(messages) == [
        ("ai", 1, "ai-1", "superseded"),
        ("ai", 1, "ai-1", "superseded"),
        ("ai", 2, "ai-2", "superseded"),
        ("ai", None, "ai-1", "superseded"),
    ]
    assert over(messages) == [("", False)]
    assert types(messages).count(TURN) == 2
    assert SPEAK not in types(messages)


async def tts_that_fails_or_is_silent(client: Client, call: Call) -> None:
    """A part is given twice, then the next one goes on; what was begun is in the text, what nobody began is not."""
    _, turn = await asked(call)
    for number, text in enumerate(("one", "two", "three")):
        await call.answers(turn, number, text, final=number == 2)
    await call.tts((await call.nth(SPEAK, 1)).data, "failed")
    again = (await call.nth(SPEAK, 2)).data
    await call.tts(again, "running", by="tts-2")
    await call.tts((await call.nth(SPEAK, 1)).data, "running", by="tts-1")
    await call.tts(again, "failed", by="tts-2")
    await call.nth(SPEAK, 4)  # nobody takes the second part, for two leases
    await call.speaks(5)
    messages = await call.all()
    assert spoken(messages) == [(0, 1, "one"), (0, 2, "one"), (1, 1, "two"), (1, 2, "two"), (2, 1, "three")]
    assert over(messages) == [("one three", False)]
    assert cancels(messages) == [("tts", 1, "tts-1", "superseded")]


STORIES = [
    a_job_that_nobody_takes,
    running_holds_a_job,
    failed_brings_the_next_attempt,
    completed_is_for_good,
    last_words,
    an_ai_that_is_silent,
    tts_that_fails_or_is_silent,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def begun(june: Installation) -> AsyncIterator[Sequence[Awaitable[None]]]:
    """The stories under way."""
    async with side_by_side(june, STORIES) as begun:
        yield begun


@pytest.mark.parametrize("number", range(len(STORIES)), ids=[story.__name__ for story in STORIES])
async def test_leases(begun: Sequence[Awaitable[None]], number: int) -> None:
    """What the story says."""
    await begun[number]


@pytest.mark.slow
async def test_a_worker_that_is_killed_forgets_no_lease(amqp_url: str, install: Install) -> None:
    """A voice and a turn that were in hand when the only worker died are given again when their leases are over."""
    async with install(amqp_url, JUNE_JOB_LEASE_S=str(LEASE_S)) as june, Client(june.amqp_url) as client:
        call = Call(june, client, await client.subscribe(*JUNE_SENDS))
        job = await call.begin()
        await call.stt(job, "running")
        await call.says(job, "hello")
        turn = (await call.nth(TURN)).data
        await call.ai(turn, "running")
        await call.all()
        june.workers[0].kill()
        await june.parts.start("worker")
        assert (await call.nth(START, 2)).data["attempt"] == 2
        assert (await call.nth(TURN, 2)).data["attempt"] == 2
        assert (await call.nth(TURN, 2)).data["turn_id"] == turn["turn_id"]
        assert stops(call.of(STOP)) == [stop(1, "stt-1")]
