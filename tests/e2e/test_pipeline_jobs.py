"""Jobs of the pipeline from outside: who holds one, whose words count and how often, tokens (contract.md §5).

What waits for leases to run out is in `test_pipeline_leases`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.calls import Call, changes, stop, stops
from tests.e2e.client import Client, types
from tests.e2e.installation import Installation
from tests.e2e.names import ADDED, START, TURN
from tests.e2e.stories import partition
from tests.e2e.webhooks import microphone, person

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_two_take_one_job(call: Call) -> None:
    """Whoever came second is told to stop for each report, and its words do not count."""
    job = await call.begin()
    await call.stt(job, "running", by="stt-1")
    await call.stt(job, "running", by="stt-2")
    await call.says(job, "twice", by="stt-2")
    await call.report(job, "stt.transcript", by="stt-2", utterance_id="u", text="tw", is_final=False)
    await call.report(job, "stt.speech_started", by="stt-2")
    await call.stt(job, "completed", by="stt-2")
    await call.says(job, "once", by="stt-1", attempt=None)
    messages = await call.all()
    assert stops(messages) == [stop(1, "stt-2")] * 5
    assert [one.data["text"] for one in messages if one.type == ADDED] == ["once"]
    assert changes(messages) == [("waiting", 1, None), ("running", 1, None)]


async def test_a_job_whose_voice_ended_in_the_queue(call: Call) -> None:
    """Whoever takes it is told to stop, with the reason of the end, and it is not offered again."""
    job = await call.begin()
    await call.webhook(call.story.unpublished(call.ann, call.mic))
    await call.stt(job, "running", by="stt-9")
    messages = await call.all()
    assert stops(messages) == [
        stop(None, None, "track_unpublished"),
        stop(1, "stt-9", "track_unpublished"),
    ]
    assert changes(messages) == [("waiting", 1, None), ("ended", 1, "track_unpublished")]


async def test_reports_count_once_and_where_they_belong(client: Client, call: Call) -> None:
    """By (source, id), in the job's own partition; sent to all partitions a report counts once."""
    job = await call.begin(ai={"enabled": False})
    words: dict[str, Any] = {"utterance_id": "u1", "text": "one", "is_final": True, "new": {"field": None}}
    body = await call.report(job, "stt.transcript", by="stt-1", id_="7", **words)
    for number in range(16):
        await client.publish("june.rooms.v1", f"p{number:02d}.report", body)
    await call.report(job, "stt.transcript", by="stt-1", id_="7", **{**words, "utterance_id": "u2"})
    astray = {**job, "report_to": {"exchange": "june.rooms.v1", "routing_key": _elsewhere(call)}}
    lost = await call.report(astray, "stt.transcript", by="stt-1", **{**words, "utterance_id": "u3"})
    await call.all()
    assert [one.data["utterance_id"] for one in call.of(ADDED)] == ["u1"]
    await client.publish("june.rooms.v1", job["report_to"]["routing_key"], lost)
    await call.report(job, "stt.transcript", by="stt-2", id_="7", **{**words, "utterance_id": "u4"})
    await call.all()
    assert [one.data["utterance_id"] for one in call.of(ADDED)] == ["u1", "u3", "u4"]


def _elsewhere(call: Call) -> str:
    return f"p{(partition(call.story.name) + 1) % 16:02d}.report"


async def test_an_utterance_has_one_final(call: Call) -> None:
    """The first one; the same id in another job is another utterance; partials use none up."""
    job = await call.begin(ai={"enabled": False})
    bob = person("bob")
    await call.joins(bob, microphone())
    other = (await call.nth(START, 2)).data
    await call.report(job, "stt.transcript", by="stt-1", utterance_id="u", text="fi", is_final=False)
    await call.says(job, "first", utterance="u", language="de-CH", confidence=1, start_ms=0, end_ms=5)
    await call.says(job, "second", utterance="u")
    await call.says(other, "third", utterance="u", confidence=-0.5)
    added = [one.data for one in await call.all() if one.type == ADDED]
    assert [(one["text"], one["participant"]["identity"]) for one in added] == [
        ("first", "ann"),
        ("third", "bob"),
    ]
    assert (added[0]["language"], added[0]["confidence"]) == ("de-CH", 1.0)
    assert (added[0]["start_ms"], added[0]["end_ms"]) == (0, 5)
    assert (added[1]["language"], added[1]["confidence"], added[1]["start_ms"]) == ("en", -0.5, None)


async def test_nobody_asks_an_ai_that_is_off(call: Call) -> None:
    """Words are told, no turn is made, and speech interrupts nobody."""
    job = await call.begin(ai={"enabled": False})
    await call.says(job, "hello")
    await call.report(job, "stt.speech_started", by="stt-1", at="2026-11-22T19:00:00.000Z")
    messages = await call.all()
    assert ADDED in types(messages)
    assert TURN not in types(messages)


async def test_a_jobs_token_listens_and_a_parts_token_speaks(june: Installation, call: Call) -> None:
    """Both are for the room alone, of kind agent, minutes long; one is hidden and deaf to nothing, the other mute but
    for a microphone."""
    job = await call.begin(ai={"enabled": True})
    await call.says(job, "hello")
    await call.answers((await call.nth(TURN)).data, 0, "hi", final=True)
    part = (await call.nth("june.tts.speak.v1")).data
    tokens = [june.claims(data["token"]) for data in (job, part)]
    for token in tokens:
        assert token["kind"] == "agent"
        assert token["video"]["room"] == call.story.name
        assert token["video"]["roomJoin"] is True
        assert 60 <= token["exp"] - token["nbf"] <= 600
        assert not token["video"].keys() & {"roomAdmin", "roomCreate", "roomList", "roomRecord"}
    listens, speaks = (token["video"] for token in tokens)
    assert (listens["hidden"], listens["canSubscribe"]) == (True, True)
    assert (listens["canPublish"], listens["canPublishData"]) == (False, False)
    assert (speaks["canPublish"], speaks["canPublishSources"]) == (True, ["microphone"])
    assert (speaks["canSubscribe"], speaks["canPublishData"]) == (False, False)
    assert not speaks.get("hidden")
