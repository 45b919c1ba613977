"""Work for the services, as it is sent: how long it may be begun, where its reports go, with which token."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest

from benchmarks.calls import BEGINNING, webhook
from schemas.topology import partition_of
from tests.support.bench_worker import BenchWorker
from worker.application.ports import OutboxMessage
from worker.application.room_events import Handled

ROOM = "coffee"
"""In another partition than the ids of its room, session and job would be."""
LEASE = timedelta(seconds=30)
WORK = ("june.stt.start.v1", "june.ai.turn.v1", "june.tts.speak.v1")


async def in_talk(worker: BenchWorker) -> dict[str, OutboxMessage]:
    """A voice, its words and an answer to them: what was offered to the services, by type."""
    await worker.handle(ROOM, *(json.loads(webhook(ROOM, event)) for event in BEGINNING))
    (job,) = worker.of("stt.start")
    words = {"job_id": job["job_id"], "utterance_id": "u1", "text": "hello", "is_final": True}
    await worker.report("stt.transcript", ROOM, **words)
    (turn,) = worker.of("ai.turn")
    answer = {"turn_id": turn["turn_id"], "part": 0, "text": "hi", "is_final": True}
    await worker.report("ai.reply", ROOM, source="ai-1", **answer)
    offers = {one.type: one for one in worker.publisher.messages if one.type in WORK}
    assert set(offers) == set(WORK)
    return offers


def envelope(message: OutboxMessage) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(message.body)
    return read


async def test_work_expires_with_its_lease(worker: BenchWorker) -> None:
    """`expires_at` is `time` and `lease_s`, and the queue is told the same."""
    for message in (await in_talk(worker)).values():
        body = envelope(message)
        assert body["data"]["lease_s"] == LEASE.total_seconds()
        assert message.expires_after == LEASE
        expires_at, time = (datetime.fromisoformat(at) for at in (body["data"]["expires_at"], body["time"]))
        assert expires_at - time == LEASE


async def test_nothing_else_expires(worker: BenchWorker) -> None:
    """Events, stops and cancels are kept until they are read."""
    await in_talk(worker)
    await worker.handle(ROOM, json.loads(webhook(ROOM, "room_finished")))
    others = [one for one in worker.publisher.messages if one.type not in WORK]
    assert {"june.stt.stop.v1", "june.tts.cancel.v1", "june.session.ended.v1"} <= {one.type for one in others}
    assert {one.expires_after for one in others} == {None}


async def test_reports_go_into_the_rooms_partition(worker: BenchWorker) -> None:
    """Every offer says so itself."""
    for message in (await in_talk(worker)).values():
        assert envelope(message)["data"]["report_to"] == {
            "exchange": "june.rooms.v1",
            "routing_key": f"p{partition_of(ROOM):02d}.report",
        }


async def test_who_listens_and_who_speaks(worker: BenchWorker) -> None:
    """A job's token lets a hidden listener in, a part's token somebody with a microphone; a turn needs none."""
    offers = await in_talk(worker)
    listens, speaks = (
        jwt.decode(envelope(offers[type_])["data"]["token"], options={"verify_signature": False})
        for type_ in ("june.stt.start.v1", "june.tts.speak.v1")
    )
    job = envelope(offers["june.stt.start.v1"])["data"]
    assert (listens["sub"], speaks["sub"]) == (
        f"june-stt-{job['job_id']}",
        f"june-tts-{job['session_id']}",
    )
    assert (listens["kind"], speaks["kind"]) == ("agent", "agent")
    assert (listens["video"]["room"], speaks["video"]["room"]) == (ROOM, ROOM)
    assert (listens["video"].get("hidden"), speaks["video"].get("hidden")) == (True, None)
    assert "token" not in envelope(offers["june.ai.turn.v1"])["data"]


@pytest.mark.parametrize(
    ("type_", "report"),
    [
        ("june.stt.start.v1", "stt.status"),
        ("june.ai.turn.v1", "ai.status"),
        ("june.tts.speak.v1", "tts.status"),
    ],
)
async def test_a_further_attempt_is_counted(worker: BenchWorker, type_: str, report: str) -> None:
    """The metric says how often work was given again; a first attempt counts nothing."""
    await worker.handle(ROOM, *(json.loads(webhook(ROOM, event)) for event in BEGINNING))
    if type_ == "june.ai.turn.v1":
        (job,) = worker.of("stt.start")
        words = {"job_id": job["job_id"], "utterance_id": "u1", "text": "hello", "is_final": True}
        first = await worker.report("stt.transcript", ROOM, **words)
        assert isinstance(first, Handled)
        assert "attempt_again" not in first.counts
        work = worker.of("ai.turn")[-1]
    else:
        work = envelope((await in_talk(worker))[type_])["data"]
    names = {name: work[name] for name in ("job_id", "turn_id", "part", "attempt") if name in work}
    outcome = await worker.report(report, ROOM, state="failed", **names)
    assert isinstance(outcome, Handled)
    assert outcome.counts["attempt_again"] == 1


async def test_reports_are_told_apart_by_source_and_id(worker: BenchWorker) -> None:
    """A second report of one source under one id is a copy, whatever it says; another source may use the id, too."""
    await worker.handle(ROOM, *(json.loads(webhook(ROOM, event)) for event in BEGINNING))
    (job,) = worker.of("stt.start")
    for source, report_id in (("stt-1", "1"), ("stt-1", "1"), ("stt-2", "1"), ("stt-1", "2")):
        said = {
            "utterance_id": f"u{len(worker.published)}",
            "text": f"{source} {report_id}",
            "is_final": True,
        }
        await worker.report(
            "stt.transcript", ROOM, source=source, report_id=report_id, job_id=job["job_id"], **said
        )
    assert [one["text"] for one in worker.of("transcript.added")] == ["stt-1 1", "stt-2 1", "stt-1 2"]
