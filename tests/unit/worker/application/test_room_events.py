"""What a batch of a partition becomes: numbers without a gap, and a failure that keeps to its own room."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchmarks.calls import STORY, webhook
from schemas.topology import partition_of
from tests.support.bench_worker import BenchWorker, bench_worker
from worker.application.ports import ErrandKind
from worker.application.room_events import Behind, Failed, Handled, Outcome
from worker.domain.facts import Fact, ParticipantJoined
from worker.entrypoints.worker import as_fact

PARTITION = 3
ROOMS = [name for name in (f"room-{number}" for number in range(100)) if partition_of(name) == PARTITION][:2]
POISON = "EV_participant_joined_" + ROOMS[0]


class Poisoned:
    """Reads webhooks as the worker does; while it is `on`, one of them becomes what no database takes."""

    def __init__(self) -> None:
        self.on = True

    def __call__(self, payload: Mapping[str, object], received_at: datetime) -> Fact | None:
        fact = as_fact(payload, received_at)
        if self.on and payload["id"] == POISON and isinstance(fact, ParticipantJoined):
            return dataclasses.replace(fact, name=object())  # type: ignore[arg-type]
        return fact


@pytest.fixture
async def poisoned(tmp_path: Path) -> AsyncIterator[tuple[BenchWorker, Poisoned]]:
    reader = Poisoned()
    async with bench_worker(tmp_path, read_webhook=reader) as worker:
        yield worker, reader


def numbers(worker: BenchWorker) -> dict[str, list[int]]:
    """The sequence numbers of each session, as they were published."""
    found = defaultdict(list)
    for envelope in worker.published:
        found[envelope["subject"]].append(int(envelope["sequence"]))
    return found


@pytest.mark.parametrize("batch", [1, 4, 2 * len(STORY)])
async def test_the_messages_of_a_session_are_numbered_without_a_gap(worker: BenchWorker, batch: int) -> None:
    """From one on, over the messages of one event and over events, however they come together."""
    bodies = [webhook(room, event) for event in STORY for room in ROOMS]
    for start in range(0, len(bodies), batch):
        await worker.room_events.handle(PARTITION, bodies[start : start + batch])
    found = numbers(worker)
    assert len(found) == len(ROOMS)
    assert all(each == list(range(1, len(each) + 1)) for each in found.values())
    assert all(len(each) > len(STORY) for each in found.values())


async def test_a_copy_publishes_what_its_first_left_unsent_and_numbers_nothing(worker: BenchWorker) -> None:
    """The same ids and bytes again, as long as nobody confirmed them."""
    body = webhook(ROOMS[0], "room_started")
    worker.publisher.silent = True
    with pytest.raises(Exception, match="did not confirm"):
        await worker.room_events.handle(PARTITION, [body])
    worker.publisher.silent = False
    (outcome,) = await worker.room_events.handle(PARTITION, [body])
    assert isinstance(outcome, Handled)
    assert outcome.duplicate
    first, second = worker.publisher.messages
    assert (first.message_id, first.body) == (second.message_id, second.body)


async def test_a_report_counts_only_where_its_report_to_leads(worker: BenchWorker) -> None:
    """In another partition it is dropped and uses no id up: the right way it counts then, once."""
    room = ROOMS[0]
    await worker.handle(room, *(json.loads(webhook(room, event)) for event in STORY[:3]))
    (job,) = worker.of("stt.start")
    words = {"job_id": job["job_id"], "utterance_id": "u1", "text": "hello", "is_final": True}
    body = worker.envelope("june.stt.transcript.v1", words, source="stt-1", message_id="r1")
    for partition in (PARTITION + 1, PARTITION, PARTITION + 2, PARTITION):
        (outcome,) = await worker.room_events.handle(partition, [body])
        assert isinstance(outcome, Handled)
        assert outcome.counts.get("unknown_report", 0) == (partition != PARTITION)
    assert [said["text"] for said in worker.of("transcript.added")] == ["hello"]
    turn = worker.of("ai.turn")[0]["turn_id"]
    answer = {"turn_id": turn, "part": 0, "text": "hi", "is_final": True}
    body = worker.envelope("june.ai.reply.v1", answer, source="ai-1", message_id="r2")
    for partition in (PARTITION + 1, PARTITION):
        await worker.room_events.handle(partition, [body])
    assert [part["text"] for part in worker.of("tts.speak")] == ["hi"]


async def test_a_message_that_fails_delays_its_own_room_alone(
    poisoned: tuple[BenchWorker, Poisoned],
) -> None:
    """What was in front of it is done, what is behind it in its room waits, the other room goes on; then all of it."""
    worker, reader = poisoned
    events = [(event, room) for event in STORY for room in ROOMS]
    bodies = [webhook(room, event) for event, room in events]
    outcomes = await worker.room_events.handle(PARTITION, bodies)
    assert [type(each) for each in outcomes] == [_expected(event, room) for event, room in events]

    reader.on = False
    left = [body for body, outcome in zip(bodies, outcomes, strict=True) if not isinstance(outcome, Handled)]
    assert all(isinstance(each, Handled) for each in await worker.room_events.handle(PARTITION, left))
    said = _said(worker)
    assert said[ROOMS[0]] == said[ROOMS[1]]


async def test_a_conflict_that_does_not_end_keeps_its_room_in_order(worker: BenchWorker) -> None:
    """What is behind it waits, as behind any other failure."""
    room = ROOMS[0]
    started, finished, other = (
        {"event": event, "id": f"EV_{sid}_{event}", "room": {"sid": sid, "name": name}}
        for event, sid, name in (
            ("room_started", "RM_a", room),
            ("room_finished", "RM_a", room),
            ("room_started", "RM_b", ROOMS[1]),
        )
    )
    # A client has both ids that the room's session could get.
    for taken in ("lk_RM_a", f"lk_RM_a-{round(worker.clock.now().timestamp() * 1000)}"):
        await worker.ok("session.create", user_id="ann", session_id=taken)
    outcomes = await worker.handle(room, started, finished, other)
    assert [type(each) for each in outcomes] == [Failed, Behind, Handled]


async def test_what_is_given_up_has_its_room_looked_at(
    worker: BenchWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a webhook. A report has none to look at: LiveKit does not know what it said."""
    room = ROOMS[0]
    await worker.handle(room, *(json.loads(webhook(room, event)) for event in STORY[:3]))
    (job,) = worker.of("stt.start")

    def fault(*_: object) -> NoReturn:
        raise ValueError("a fault")

    monkeypatch.setattr("worker.application.room_events.decide", fault)
    status = {"job_id": job["job_id"], "attempt": 1, "state": "running"}
    outcomes = [
        await worker.report("stt.status", room, **status),
        *await worker.handle(room, json.loads(webhook(room, "participant_left"))),
    ]
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        await worker.room_events.parked(outcome)
    errands = await worker.store.due_errands(worker.clock.now(), limit=10, claim=timedelta(0))
    assert [(one.kind, one.room_name) for one in errands] == [(ErrandKind.LOOK_AT_ROOM, room)]


def _expected(event: str, room: str) -> type[Outcome]:
    if room != ROOMS[0] or event == STORY[0]:
        return Handled
    return Failed if event == "participant_joined" else Behind


def _said(worker: BenchWorker) -> dict[str, list[Any]]:
    """What was published of each room, by type, in order."""
    said = defaultdict(list)
    for message in worker.publisher.messages:
        envelope = json.loads(message.body)
        said[envelope["partitionkey"]].append(envelope["type"])
    return said


async def test_a_bot_that_comes_late_does_not_bring_a_deleted_room_back(worker: BenchWorker) -> None:
    """Its token works for longer than those of the people, who have been in the room for long."""
    await worker.ok("session.create", user_id="ann", session_id="s1", token_ttl_s=60)
    room = {"sid": worker.livekit.room_sid("s1"), "name": "s1"}
    worker.clock.advance(timedelta(minutes=20))
    ann = {"sid": "PA_1", "identity": "ann"}
    await worker.webhook("participant_joined", room=room, participant=ann)
    await worker.webhook("track_published", room=room, participant=ann, track={"sid": "TR_1"})
    (job,) = worker.of("stt.start")
    await worker.ok("session.delete", session_id="s1")
    worker.clock.advance(timedelta(minutes=4))
    worker.livekit.join("s1", f"june-stt-{job['job_id']}", kind="agent", hidden=True)
    await worker.webhook("room_started", room={"sid": "RM_back", "name": "s1"})
    await worker.errands.round()
    assert worker.livekit.room_sid("s1") is None
    assert worker.types().count("session.created") == 1
