"""Turns that are cut short: by barge-in, by leaving, by the session's end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.talk import LEASE, Talk

Cut = Callable[[Talk], None]
CUTS: list[tuple[str, Cut]] = [
    ("barge_in", Talk.speak_up),
    ("participant_left", lambda talk: talk.leave("ada")),
    ("session_ended", Talk.end),
]
each_cut = pytest.mark.parametrize(("reason", "cut"), CUTS, ids=[reason for reason, _ in CUTS])


@each_cut
def test_while_it_is_thought(reason: str, cut: Cut) -> None:
    """Before any answer only the AI is told to stop, all attempts of it, and the turn is over, empty."""
    talk = Talk()
    talk.say("q")
    cut(talk)
    assert talk.cancels() == [("ai", None, None, reason)]
    assert talk.completed() == [("", False)]
    assert talk.history() == [("user", "q")]


@each_cut
def test_while_answer_and_speech_go_on(reason: str, cut: Cut) -> None:
    """An answer that is not final and a part that is not spoken are both told to stop, then the turn is over."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.tts(0, "running")
    cut(talk)
    assert talk.cancels() == [("ai", None, None, reason), ("tts", None, None, reason)]
    assert [type(effect).__name__ for effect in talk.new] == ["Broadcast", "Broadcast", "Announce"]
    assert talk.completed() == [("a", False)]
    assert talk.history() == [("user", "q"), ("assistant", "a")]


@each_cut
def test_while_the_rest_is_spoken(reason: str, cut: Cut) -> None:
    """When the answer is final only TTS is told to stop; the text is what was spoken or begun."""
    talk = Talk()
    talk.say("q")
    for number, text in enumerate("abc"):
        talk.reply(number, text, final=text == "c")
    talk.tts(0, "completed")
    talk.tts(1, "running")
    cut(talk)
    assert talk.cancels() == [("tts", None, None, reason)]
    assert talk.completed() == [("a b", False)]


@each_cut
def test_when_all_that_came_is_spoken(reason: str, cut: Cut) -> None:
    """When every part so far is spoken and the answer is not final only the AI is told to stop."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.tts(0, "completed")
    cut(talk)
    assert talk.cancels() == [("ai", None, None, reason)]
    assert talk.completed() == [("a", False)]


@each_cut
def test_when_a_part_was_offered_and_not_begun(reason: str, cut: Cut) -> None:
    """A part that nobody began is cancelled as well, and is not in the text."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a", final=True)
    cut(talk)
    assert talk.cancels() == [("tts", None, None, reason)]
    assert talk.completed() == [("", False)]


@each_cut
def test_when_only_blank_parts_wait(reason: str, cut: Cut) -> None:
    """A part with nothing to speak in it is no reason to tell TTS."""
    talk = Talk()
    talk.say("q")
    talk.reply(1, " ")
    cut(talk)
    assert talk.cancels() == [("ai", None, None, reason)]


@each_cut
def test_without_speech(reason: str, cut: Cut) -> None:
    """Where answers are not spoken TTS is told nothing, and the text is what came of the answer."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(0, "a")
    talk.reply(2, "c")
    cut(talk)
    assert talk.cancels() == [("ai", None, None, reason)]
    assert talk.completed() == [("a", False)]


@each_cut
def test_once(reason: str, cut: Cut) -> None:
    """What is cut twice is told once, and nothing of it comes back with time."""
    talk = Talk()
    talk.say("q")
    cut(talk)
    cut(talk)
    assert talk.new == []
    talk.pass_time(5 * LEASE)
    assert len(talk.completed()) == 1
    assert len(talk.asked()) == 1


@each_cut
def test_nothing_in_the_making(reason: str, cut: Cut) -> None:
    """Where nothing was ever said, nothing happens."""
    talk = Talk()
    cut(talk)
    assert (talk.effects, talk.state.conversation) == ([], None)


def test_what_waits_is_asked_after_a_barge_in() -> None:
    """After a barge-in what waits becomes the next turn at once, and what is said then the one after it."""
    talk = Talk()
    talk.say("one")
    talk.say("two")
    talk.speak_up()
    assert [type(effect).__name__ for effect in talk.new] == ["Broadcast", "Announce", "AskAi", "Wake"]
    talk.say("three")
    assert [ask.text for ask in talk.asked()] == ["one", "two"]


def test_a_wake_of_the_turn_before_does_not_hurt() -> None:
    """A turn after a barge-in has a whole lease of its own."""
    talk = Talk()
    talk.say("one")
    talk.pass_time(LEASE / 2)
    talk.speak_up()
    talk.say("two")
    talk.pass_time(LEASE / 2)
    talk.wake()
    assert [(ask.text, ask.attempt) for ask in talk.asked()] == [("one", 1), ("two", 1)]
    talk.pass_time(LEASE)
    assert [(ask.text, ask.attempt) for ask in talk.asked()[2:]] == [("two", 2)]


def test_waiting_words_of_who_left_are_dropped() -> None:
    """Words that wait are dropped when their speaker leaves; those of others are asked."""
    talk = Talk()
    talk.say("one")
    talk.say("two")
    talk.say("three", by="bob")
    talk.leave("ada")
    assert [ask.text for ask in talk.asked()] == ["one", "three"]


def test_a_turn_lives_while_one_of_its_speakers_is_there() -> None:
    """A joined turn is cancelled when the last of those who said it leaves, and not before."""
    talk = Talk()
    talk.say("one")
    talk.say("two")
    talk.say("three", by="bob")
    talk.speak_up()
    talk.leave("bob")
    assert talk.new == []
    talk.leave("ada")
    assert talk.cancels() == [("ai", None, None, "participant_left")]


def test_others_may_leave() -> None:
    """A turn goes on when somebody leaves who has no words in it."""
    talk = Talk()
    talk.say("one")
    talk.leave("bob")
    assert talk.new == []
    assert talk.completed() == []


def test_the_end_drops_what_waits() -> None:
    """At the session's end the turn completes, and what waits is not asked any more."""
    talk = Talk()
    talk.say("one")
    talk.say("two")
    talk.end()
    assert talk.completed() == [("", False)]
    assert len(talk.asked()) == 1
    assert talk.talk.waiting == ()
