"""When words become a turn, what is asked, and what is remembered."""

from __future__ import annotations

import json
from datetime import timedelta

from schemas.times import format_time
from tests.support.samples import START
from tests.support.talk import LEASE, Talk
from worker.domain.conversation import from_json
from worker.domain.effects import AskAi, Wake


def test_first_words_are_asked_at_once() -> None:
    """A final is asked at once when no turn is in the making, with a wake for the end of its lease."""
    talk = Talk()
    talk.say("Hello")
    asked = AskAi(
        turn_id=talk.turn_id,
        attempt=1,
        participant_sid="PA_ada",
        identity="ada",
        participant_name="Ada",
        utterance_id="utt1",
        text="Hello",
        language="en",
        history=(),
    )
    assert talk.new == [asked, Wake(key="turn", at=START + LEASE)]
    ref = talk.state.turns[talk.talk.turn.turn_id]  # type: ignore[union-attr]
    assert (ref.session_id, ref.room_name) == ("s1", "tea")


def test_turn_ids_differ() -> None:
    """No two turns have one id, of one session or of two."""
    first, second = Talk(session_id="s1"), Talk(session_id="s2")
    for talk in (first, second):
        for text in ("a", "b"):
            talk.say(text)
            talk.speak_up()
    ids = [asked.turn_id for asked in first.asked() + second.asked()]
    assert len(set(ids)) == 4


def test_what_is_said_meanwhile_is_joined() -> None:
    """Words said while a turn is in the making are joined to the next one, under the last one's name."""
    talk = Talk(speak=False)
    talk.say("one")
    talk.say("two")
    talk.say("three", by="bob", language="de")
    assert len(talk.asked()) == 1
    talk.reply(0, "answer", final=True)
    asked = talk.asked()[-1]
    assert (asked.text, asked.utterance_id, asked.identity) == ("two three", "utt3", "bob")
    assert (asked.participant_sid, asked.participant_name, asked.language) == ("PA_bob", "Bob", "de")


def test_completion_precedes_the_next_turn() -> None:
    """A turn's completion is announced before the next turn is asked."""
    talk = Talk(speak=False)
    talk.say("one")
    talk.say("two")
    talk.reply(0, "answer", final=True)
    assert [type(effect).__name__ for effect in talk.new] == ["Announce", "AskAi", "Wake"]


def test_blank_words_begin_nothing() -> None:
    """A blank final begins no turn and waits for none."""
    talk = Talk()
    talk.say(" \n")
    assert (talk.effects, talk.state.conversation) == ([], None)


def test_words_after_the_end_begin_nothing() -> None:
    """A final that comes after the session's end is not asked."""
    talk = Talk()
    talk.end()
    talk.say("too late")
    assert talk.effects == []


def test_history_is_without_the_own_text() -> None:
    """A turn's history has what was said and answered before it, and not its own text."""
    talk = Talk(speak=False)
    talk.say("one")
    talk.pass_time(timedelta(seconds=1))
    talk.reply(0, "first", final=True)
    talk.say("two", by="bob")
    entries = [(e.role, e.identity, e.text, e.at) for e in talk.asked()[-1].history]
    assert entries == [
        ("user", "ada", "one", START),
        ("assistant", None, "first", START + timedelta(seconds=1)),
    ]


def test_unanswered_words_stay_in_the_history() -> None:
    """Words that got no answer are in the history alone."""
    talk = Talk()
    talk.say("one")
    talk.speak_up()
    talk.say("two")
    assert [(e.role, e.text) for e in talk.asked()[-1].history] == [("user", "one")]


def test_history_has_twenty_entries_at_most() -> None:
    """Of more than 20 entries the oldest are dropped."""
    talk = Talk(speak=False)
    for number in range(15):
        talk.say(f"q{number}")
        talk.reply(0, f"a{number}", final=True)
    talk.say("last")
    history = talk.asked()[-1].history
    assert [entry.text for entry in history[:2]] == ["q5", "a5"]
    assert len(history) == 20


def test_history_fits_in_64_kib() -> None:
    """The history is at most 64 KiB as it is sent, and as much as fits in that is kept."""
    talk = Talk()
    lengths = []
    for number in range(12):
        talk.say(f"{number:02}" + "ü" * 5000)
        talk.speak_up()
        wire = [
            {"role": e.role, "identity": e.identity, "text": e.text, "at": format_time(e.at)}
            for e in talk.talk.history
        ]
        size = len(json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode())
        assert size <= 64 * 1024
        lengths.append(len(wire))
    assert lengths == [1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]
    assert talk.talk.history[-1].text.startswith("11")


def test_history_of_exactly_64_kib_is_kept() -> None:
    """An entry that fills the 64 KiB to the last byte is kept, and one byte more drops it."""
    frame = '[{"role":"user","identity":"ada","text":"","at":"2026-11-22T19:00:00.000Z"}]'
    room = 64 * 1024 - len(frame)
    for length, entries in ((room, 1), (room + 1, 0)):
        talk = Talk()
        talk.say("x" * length)
        talk.speak_up()
        assert len(talk.talk.history) == entries


def test_what_waits_is_bounded() -> None:
    """Of what waits the oldest is dropped beyond 1 MiB, which is more than an hour of speech, and never the newest."""
    talk = Talk()
    talk.say("first")
    for number in range(60):
        talk.say(f"{number:03}" + "x" * 20_000)
    assert 1000 * 1000 < sum(len(words.text) for words in talk.talk.waiting) <= 1024 * 1024
    assert talk.talk.waiting[-1].text.startswith("059")
    talk.say("y" * 1024 * 1024)
    assert [len(words.text) for words in talk.talk.waiting] == [1024 * 1024]


def test_nothing_that_is_said_meanwhile_is_lost() -> None:
    """A long answer is waited for with all that was said during it."""
    talk = Talk(speak=False)
    talk.say("first")
    said = [f"{number} " + "x" * 1000 for number in range(200)]
    for text in said:
        talk.say(text)
    talk.reply(0, "answer", final=True)
    assert talk.asked()[-1].text == " ".join(said)


def test_an_old_document_loads() -> None:
    """A document with the least of fields, and one with fields that this version does not know, both load."""
    plain = from_json('{"session_id":"s1"}')
    assert plain == from_json('{"session_id":"s1","mood":{"good":true}}')
    assert (plain.turn, plain.waiting, plain.history) == (None, (), ())
