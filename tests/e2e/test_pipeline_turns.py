"""Turns of the pipeline from outside: words, answers in any order, speech, cancels (contract.md §5).

What waits for leases to run out is in `test_pipeline_leases`.
"""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.calls import Call, asked, cancels, over, spoken
from tests.e2e.client import Client, types
from tests.e2e.names import ENDED, LEFT, SPEAK, START, TURN, TURN_OVER
from tests.e2e.shapes import moment
from tests.e2e.stories import only, partition
from tests.e2e.webhooks import microphone, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEASE_S = 600


async def test_a_turn_and_a_part_have_every_field(call: Call) -> None:
    """What an AI needs to answer, and TTS to speak; both expire with their lease."""
    job, turn = await asked(call)
    await call.answers(turn, 0, "hi", final=True)
    part = (await call.nth(SPEAK)).data
    report_to = {"exchange": "june.rooms.v1", "routing_key": f"p{partition(call.story.name):02d}.report"}
    for message in (await call.nth(TURN), await call.nth(SPEAK)):
        lasts = moment(message.data["expires_at"]) - moment(message.envelope["time"])
        assert lasts == timedelta(seconds=LEASE_S)
        assert message.message.expiration == LEASE_S
        assert message.exchange == "june.pipeline"
    common = {"session_id": job["session_id"], "room_name": call.story.name, "lease_s": LEASE_S}
    common |= {"language": "en", "attempt": 1, "report_to": report_to, "turn_id": turn["turn_id"]}
    said = only(await call.all(), "june.transcript.added.v1").data["utterance_id"]
    ann = {"sid": call.ann["sid"], "identity": "ann", "name": "Ann"}
    assert turn == common | {
        "participant": ann,
        "utterance_id": said,
        "text": "hello",
        "history": [],
        "expires_at": turn["expires_at"],
    }
    assert part == common | {
        "part": 0,
        "text": "hi",
        "livekit_url": "wss://livekit.example.org",
        "token": part["token"],
        "expires_at": part["expires_at"],
    }


@pytest.mark.parametrize("seed", range(4))
async def test_an_answer_in_any_order_is_spoken_in_its_own(call: Call, seed: int) -> None:
    """Parts permuted, doubled under one id and under two, with heartbeats and `completed` anywhere among them: each is
    spoken once, in order, the next when the one before is completed; blank ones are passed over."""
    _, turn = await asked(call)
    texts = ["one", "", "two", " ", "three"]
    dice = random.Random(seed)
    reports: list[tuple[str, dict[str, Any]]] = [
        (
            "ai.reply",
            {"part": number, "text": text, "is_final": number == 4, "id_": f"{turn['turn_id']}{number}"},
        )
        for number, text in enumerate(texts)
    ]
    doubled = [*reports, *dice.sample(reports, k=3), ("ai.status", {"state": "completed"})]
    doubled += [(type_, {**data, "id_": None}) for type_, data in dice.sample(reports, k=2)]
    doubled += [("ai.status", {"state": "running"})] * 2
    for type_, data in dice.sample(doubled, k=len(doubled)):
        await call.report(turn, type_, by="ai-1", **data)
    assert spoken(await call.all()) == [(0, 1, "one")]
    for number, (part, text) in enumerate([(0, "one"), (2, "two"), (4, "three")], start=1):
        offered = await call.nth(SPEAK, number)
        assert (offered.data["part"], offered.data["text"]) == (part, text)
        await call.tts(offered.data, "running")
        assert spoken(await call.all())[number:] == []
        assert over(call.of(TURN_OVER)) == []
        await call.tts(offered.data, "completed")
    messages = await call.all()
    assert over(messages) == [("one two three", True)]
    assert cancels(messages) == []
    assert types(messages).count(TURN) == 1


async def test_what_is_said_meanwhile_is_the_next_turn(call: Call) -> None:
    """Joined by a space under the last one's name; asked after the completion, with what was said and answered before
    it."""
    job, turn = await asked(call, "first")
    bob = person("bob", name="Bob")
    await call.joins(bob, microphone())
    other = (await call.nth(START, 2)).data
    await call.says(job, "second")
    await call.says(other, "third", utterance="u-3", language="de")
    await call.answers(turn, 0, "answer", final=True)
    await call.speaks(1)
    following = (await call.nth(TURN, 2)).data
    messages = await call.all()
    order = [one.type for one in messages if one.type in {TURN, TURN_OVER}]
    assert order == [TURN, TURN_OVER, TURN]
    assert (following["text"], following["utterance_id"]) == ("second third", "u-3")
    assert following["participant"] == {"sid": bob["sid"], "identity": "bob", "name": "Bob"}
    assert following["language"] == "de"
    history = [(entry["role"], entry["identity"], entry["text"]) for entry in following["history"]]
    assert history == [("user", "ann", "first"), ("assistant", None, "answer")]
    for entry in following["history"]:
        moment(entry["at"])


async def test_history_is_bounded(call: Call) -> None:
    """At most 20 entries and 64 KiB, the oldest dropped, never a turn's own text."""
    job = await call.begin(ai={"speak": False})
    longest = 0
    for number in range(1, 14):
        await call.says(job, f"q{number} " + "ü" * (3000 if number > 11 else 10))
        turn = (await call.nth(TURN, number)).data
        texts = [entry["text"].split()[0] for entry in turn["history"]]
        assert len(texts) <= 20
        assert f"q{number}" not in texts
        if number in {1, 6, 11}:
            assert len(texts) == 2 * (number - 1)
        longest = max(longest, len(texts))
        await call.answers(turn, 0, f"a{number} " + "é" * (14_000 if number > 11 else 10), final=True)
    assert longest == 20
    await call.says(job, "last")
    turn = (await call.nth(TURN, 14)).data
    texts = [entry["text"].split()[0] for entry in turn["history"]]
    assert texts[-2:] == ["q13", "a13"]
    assert sum(len(entry["text"].encode()) for entry in turn["history"]) <= 64 * 1024
    assert texts == [f"{who}{n}" for n in range(1, 14) for who in "qa"][-len(texts) :]


async def test_barge_in(call: Call) -> None:
    """Speech ends the turn that is thought and spoken, once; what was begun stays; who goes on is told by name; what is
    said then is a turn of its own."""
    job, turn = await asked(call)
    await call.answers(turn, 0, "one")
    await call.answers(turn, 1, "two")
    first = await call.speaks(1)
    await call.tts((await call.nth(SPEAK, 2)).data, "running")
    for _ in range(2):
        await call.report(job, "stt.speech_started", by="stt-1")
    messages = await call.all()
    assert cancels(messages) == [("ai", None, None, "barge_in"), ("tts", None, None, "barge_in")]
    assert over(messages) == [("one two", False)]
    await call.answers(turn, 2, "three", final=True)
    await call.ai(turn, "running", by="ai-2")
    await call.tts({**first, "part": 1}, "running")
    await call.tts({**first, "part": 1}, "cancelled")
    messages = await call.all()
    assert cancels(messages)[2:] == [
        ("ai", 1, "ai-1", "superseded"),
        ("ai", 1, "ai-2", "superseded"),
        ("tts", 1, "tts-1", "superseded"),
    ]
    assert len(over(messages)) == 1
    await call.says(job, "stop")
    again = (await call.nth(TURN, 2)).data
    assert again["turn_id"] != turn["turn_id"]
    assert [entry["text"] for entry in again["history"]] == ["hello", "one two"]


async def test_only_who_is_at_work_is_cancelled(call: Call) -> None:
    """The AI alone while nothing is to be spoken, TTS alone when the answer is final, nobody when all is said."""
    job, turn = await asked(call)
    await call.report(job, "stt.speech_started", by="stt-1")
    assert cancels(await call.all()) == [("ai", None, None, "barge_in")]
    await call.says(job, "again")
    turn = (await call.nth(TURN, 2)).data
    await call.answers(turn, 0, "one", final=True)
    await call.nth(SPEAK)
    await call.report(job, "stt.speech_started", by="stt-1")
    assert cancels(await call.all())[1:] == [("tts", None, None, "barge_in")]
    await call.says(job, "and again")
    await call.answers((await call.nth(TURN, 3)).data, 0, "two", final=True)
    await call.speaks(2)
    await call.report(job, "stt.speech_started", by="stt-1")
    messages = await call.all()
    assert cancels(messages)[2:] == []
    assert over(messages) == [("", False), ("", False), ("two", True)]


async def test_an_ai_that_stops_in_the_middle(call: Call) -> None:
    """Once a part came the turn is not given again: what came without a gap is the answer."""
    _, turn = await asked(call)
    await call.answers(turn, 0, "one")
    await call.answers(turn, 2, "three")
    await call.ai(turn, "failed")
    await call.speaks(1)
    messages = await call.all()
    assert over(messages) == [("one", True)]
    assert types(messages).count(TURN) == 1
    assert spoken(messages) == [(0, 1, "one")]


@pytest.mark.parametrize("end", ["finished", "deleted", "left"])
async def test_a_turn_is_over_before_its_session(client: Client, call: Call, end: str) -> None:
    """Whatever ends it, the turn in the making is cancelled and completed once, and what waits is never asked."""
    job, turn = await asked(call)
    await call.answers(turn, 0, "one")
    await call.tts((await call.nth(SPEAK)).data, "running")
    await call.says(job, "and")
    await call.all()
    match end:
        case "finished":
            await call.webhook(call.story.finished())
        case "deleted":
            await client.ok("june.session.delete.v1", {"session_id": job["session_id"]})
        case _:
            await call.webhook(call.story.left(call.ann), call.story.finished())
    await call.answers(turn, 1, "two", final=True)
    await call.says(job, "last words")
    messages = await call.all()
    reason = "participant_left" if end == "left" else "session_ended"
    assert cancels(messages) == [
        ("ai", None, None, reason),
        ("tts", None, None, reason),
        ("ai", 1, "ai-1", "superseded"),
    ]
    assert over(messages) == [("one", False)]
    order = [one.type for one in messages if one.type in {TURN_OVER, ENDED, LEFT}]
    assert order == ([LEFT, TURN_OVER, ENDED] if end == "left" else order)
    assert order.index(TURN_OVER) < order.index(ENDED)
    assert types(messages).count(TURN) == 1


async def test_who_leaves_takes_their_own_turn_along(call: Call) -> None:
    """A turn goes on while one of those is there whose words it holds, and when anybody else leaves."""
    bob, cem = person("bob"), person("cem")
    job, turn = await asked(call)
    for who in (bob, cem):
        await call.joins(who, microphone())
    jobs = [(await call.nth(START, number)).data for number in (2, 3)]
    of_bob = next(each for each in jobs if each["participant"]["sid"] == bob["sid"])
    await call.webhook(call.story.left(cem))
    await call.says(job, "and")
    await call.says(of_bob, "me")
    await call.answers(turn, 0, "", final=True)
    joined = (await call.nth(TURN, 2)).data
    assert joined["text"] == "and me"
    await call.webhook(call.story.left(bob))
    assert cancels(await call.all()) == []
    await call.webhook(call.story.left(call.ann))
    messages = await call.all()
    assert cancels(messages) == [("ai", None, None, "participant_left")]
    assert over(messages) == [("", False), ("", False)]


async def test_text_alone(call: Call) -> None:
    """Without speech there are no TTS jobs, `text` is the whole answer, and barge-in cancels the AI alone."""
    job = await call.begin(ai={"speak": False})
    await call.says(job, "hello")
    turn = (await call.nth(TURN)).data
    for number, text in [(2, "three"), (0, "one"), (1, "two")]:
        await call.answers(turn, number, text, final=number == 2)
    await call.nth(TURN_OVER)
    await call.says(job, "again")
    turn = (await call.nth(TURN, 2)).data
    await call.answers(turn, 0, "begun")
    await call.report(job, "stt.speech_started", by="stt-1")
    messages = await call.all()
    assert over(messages) == [("one two three", False), ("begun", False)]
    assert cancels(messages) == [("ai", None, None, "barge_in")]
    assert SPEAK not in types(messages)


HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("ai.reply", {"part": -1, "text": "x", "is_final": True}),
    ("ai.reply", {"part": 2**31, "text": "x", "is_final": True}),
    ("ai.reply", {"part": "0", "text": "x", "is_final": True}),
    ("ai.reply", {"part": 0, "text": None, "is_final": True}),
    ("ai.reply", {"part": 0, "text": "x", "is_final": "true"}),
    ("ai.reply", {"part": 0, "text": "x"}),
    ("ai.status", {"state": "thinking"}),
    ("ai.status", {"state": "running", "attempt": 0}),
    ("tts.status", {"part": 0, "state": 5}),
]


async def test_reports_that_cannot_be_read_hold_nothing_up(client: Client, call: Call) -> None:
    """They are dead letters with a reason; the turn goes on with what can be read."""
    dead = await client.drain("june.dead.v1")
    _, turn = await asked(call)
    bodies = [await call.report(turn, type_, by="ai-1", **data) for type_, data in HOSTILE]
    await call.report(turn, "ai.reply", by="ai-1", part=2**31 - 1, text="far", is_final=False, x=[1])
    await call.answers(turn, 0, "one", final=True)
    await call.speaks(1)
    assert over(await call.all()) == [("one", True)]
    for body in bodies:
        letter = await dead.first(lambda one, body=body: one.body == body)  # type: ignore[misc]
        assert letter.message.headers["reason"] == "invalid"


async def test_turns_of_many_at_once(call: Call) -> None:
    """Whatever order three people's words and a silent AI come in, every word is asked, once."""
    people = [person(f"p{number}") for number in range(3)]
    await call.begin(ai={"speak": False})
    for who in people:
        await call.joins(who, microphone())
    await call.nth(START, 4)
    jobs = [one.data for one in call.of(START)]
    said = [f"w{number}" for number in range(24)]
    for text, job in zip(said, itertools.cycle(jobs), strict=False):
        await call.says(job, text)
    await call.answers((await call.nth(TURN)).data, 0, "", final=True)
    await call.answers((await call.nth(TURN, 2)).data, 0, "", final=True)
    await call.nth(TURN_OVER, 2)
    heard = " ".join(one.data["text"] for one in call.of(TURN))
    assert heard.split() == said
