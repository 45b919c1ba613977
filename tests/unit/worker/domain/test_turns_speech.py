"""The spoken side of a turn: parts in order, leases, attempts, and what the completion says was heard."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from tests.support.talk import LEASE, Talk

TICK = timedelta(milliseconds=1)


def answered(*texts: str) -> Talk:
    """A talk whose turn has this answer, all of it there."""
    talk = Talk()
    talk.say("q")
    for number, text in enumerate(texts):
        talk.reply(number, text, final=number == len(texts) - 1)
    return talk


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_are_spoken_in_order(order: tuple[int, ...]) -> None:
    """Parts that come in any order go to TTS in theirs, each when the one before is completed."""
    talk = Talk()
    talk.say("q")
    for part in order:
        talk.reply(part, "abc"[part], final=part == 2)
        assert talk.spoken() in ([], [("a", 0, 1)])
    for part in range(3):
        assert talk.spoken()[-1] == ("abc"[part], part, 1)
        assert talk.completed() == []
        talk.tts(part, "running")
        talk.tts(part, "completed")
    assert talk.spoken() == [("a", 0, 1), ("b", 1, 1), ("c", 2, 1)]
    assert talk.completed() == [("a b c", True)]


def test_a_part_is_spoken_before_the_answer_is_final() -> None:
    """TTS is given the first part as soon as it came, and the next one as soon as it comes."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    assert talk.spoken() == [("a", 0, 1)]
    talk.tts(0, "completed")
    assert talk.completed() == []
    talk.reply(1, "b", final=True)
    assert talk.spoken() == [("a", 0, 1), ("b", 1, 1)]
    talk.tts(1, "completed")
    assert talk.completed() == [("a b", True)]


def test_an_empty_part_is_not_spoken() -> None:
    """Empty and blank parts are passed over, and leave no trace in the text."""
    talk = answered("", "a", " ", "b", "")
    talk.tts(1, "completed")
    talk.tts(3, "completed")
    assert talk.spoken() == [("a", 1, 1), ("b", 3, 1)]
    assert talk.completed() == [("a b", True)]


def test_an_empty_answer() -> None:
    """An answer of nothing completes at once, empty and not spoken."""
    talk = answered("")
    assert (talk.spoken(), talk.completed()) == ([], [("", False)])


def test_no_speech_without_speak() -> None:
    """Where answers are not spoken TTS gets nothing, and the text is the whole answer."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(0, "a")
    talk.reply(1, "b", final=True)
    assert (talk.spoken(), talk.completed()) == ([], [("a b", False)])


@pytest.mark.parametrize("how", ["silence", "failed"])
def test_a_lost_part_is_given_twice_at_most(how: str) -> None:
    """TTS that is silent for a lease, or failed, loses the part: given once more, then given up for the next."""
    talk = answered("a", "b")
    for attempt in (1, 2):
        assert talk.spoken()[-1] == ("a", 0, attempt)
        if how == "silence":
            talk.pass_time(LEASE - TICK)
            assert talk.spoken()[-1] == ("a", 0, attempt)
            talk.pass_time(TICK)
        else:
            talk.tts(0, "failed", attempt=attempt)
    assert talk.spoken() == [("a", 0, 1), ("a", 0, 2), ("b", 1, 1)]
    talk.tts(1, "completed")
    assert talk.completed() == [("b", False)]


def test_running_holds_the_lease() -> None:
    """TTS keeps a part for as long as it says `running` within each lease."""
    talk = answered("a")
    for _ in range(4):
        talk.pass_time(LEASE - TICK)
        talk.tts(0, "running")
    assert talk.spoken() == [("a", 0, 1)]
    talk.pass_time(LEASE)
    assert talk.spoken() == [("a", 0, 1), ("a", 0, 2)]


def test_what_was_begun_is_part_of_the_text() -> None:
    """A part that was begun and never finished is in the text, and the turn is not spoken."""
    talk = answered("a", "b")
    talk.tts(0, "running")
    talk.tts(0, "failed")
    talk.tts(0, "failed", attempt=2, source="tts-2")
    talk.tts(1, "completed")
    assert talk.completed() == [("a b", False)]


def test_a_second_attempt_may_finish() -> None:
    """A part whose second attempt is completed was spoken."""
    talk = answered("a")
    talk.tts(0, "running")
    talk.pass_time(LEASE)
    talk.tts(0, "completed", attempt=2, source="tts-2")
    assert talk.completed() == [("a", True)]


@pytest.mark.parametrize(("begun", "text"), [(True, "a b"), (False, "b")])
def test_cancelled_by_tts(begun: bool, text: str) -> None:
    """A part that TTS cancelled is over and not given again; what was begun of it counts."""
    talk = answered("a", "b")
    if begun:
        talk.tts(0, "running")
    talk.tts(0, "cancelled")
    talk.tts(1, "completed")
    assert talk.spoken() == [("a", 0, 1), ("b", 1, 1)]
    assert talk.completed() == [(text, False)]


def test_another_instance_is_told_to_stop() -> None:
    """TTS that speaks what another holds is told to stop, by name; its last words are answered by nothing."""
    talk = answered("a")
    talk.tts(0, "running", source="tts-1")
    talk.tts(0, "running", source="tts-2")
    assert talk.cancels() == [("tts", 1, "tts-2", "superseded")]
    talk.tts(0, "completed", source="tts-2")
    assert (talk.new, talk.completed()) == ([], [])


def test_the_first_attempt_is_late() -> None:
    """TTS that goes on with a lost attempt is told to stop that attempt."""
    talk = answered("a")
    talk.tts(0, "running", source="tts-1")
    talk.pass_time(LEASE)
    talk.tts(0, "running", source="tts-1")
    assert talk.cancels() == [("tts", 1, "tts-1", "superseded")]


def test_at_work_on_a_part_that_is_over() -> None:
    """Who still speaks a part that is over is told to stop, unless it finished it, or has the next one by right."""
    talk = answered("a", "b")
    talk.tts(0, "completed", source="tts-1")
    talk.tts(0, "running", source="tts-1")
    assert talk.new == []
    talk.tts(0, "running", source="tts-2")
    assert talk.cancels() == [("tts", 1, "tts-2", "superseded")]
    talk.tts(1, "running", source="tts-2")
    talk.tts(0, "running", source="tts-2")
    assert talk.new == []
    talk.tts(0, "completed", source="tts-2")
    assert talk.new == []


def test_late_speech_of_a_turn_that_is_over() -> None:
    """TTS at work on a turn that is over is told to stop."""
    talk = answered("a")
    turn = talk.turn_id
    talk.speak_up()
    talk.tts(0, "running", turn=turn)
    assert talk.cancels() == [("tts", 1, "tts-1", "superseded")]
    talk.tts(0, "cancelled", turn=turn)
    assert talk.new == []


def test_parts_that_were_not_given_are_counted() -> None:
    """A report on a part or an attempt that TTS was never given changes nothing and is counted."""
    talk = answered("a", "b")
    before = talk.state
    for part, attempt in ((1, 1), (7, 1), (0, 2)):
        talk.tts(part, "completed", attempt=attempt)
        assert talk.counted() == ["unknown_report"]
    assert talk.state == before


def test_what_is_behind_a_gap_is_not_waited_for() -> None:
    """An answer that is given up ends before its first gap, and the turn with what was spoken before it."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.reply(2, "c", final=True)
    talk.pass_time(LEASE - TICK)
    talk.tts(0, "completed")
    assert talk.completed() == []
    talk.pass_time(TICK)
    assert (talk.spoken(), talk.completed()) == ([("a", 0, 1)], [("a", True)])


def test_the_ai_is_lost_while_its_part_is_spoken() -> None:
    """An AI that falls silent after a part ends the answer there; the turn ends when that part is spoken."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.pass_time(LEASE - TICK)
    talk.tts(0, "running")
    talk.pass_time(TICK)
    assert (talk.completed(), talk.new[:-1]) == ([], [])
    talk.tts(0, "completed")
    assert talk.completed() == [("a", True)]
