"""The AI's side of a turn: attempts, leases, parts in any order, and who is told to stop."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from schemas.reports import WorkState
from tests.support.talk import LEASE, Talk
from worker.domain.effects import Wake

TICK = timedelta(milliseconds=1)
UNDER_WAY = timedelta(seconds=1)


def asked(talk: Talk) -> list[tuple[str, int]]:
    return [(ask.text, ask.attempt) for ask in talk.asked()]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_in_any_order(order: tuple[int, ...]) -> None:
    """Parts that come in any order, and doubled, make one answer, without speech joined by a space."""
    talk = Talk(speak=False)
    talk.say("q")
    for part in order:
        talk.reply(part, "abc"[part], final=part == 2)
        if talk.talk.turn is not None:
            talk.reply(part, "abc"[part], final=part == 2)
    assert talk.completed() == [("a b c", False)]


def test_silence_brings_the_second_attempt() -> None:
    """An AI that says nothing for a lease has lost the turn, which is asked once more under the same id."""
    talk = Talk()
    talk.say("q")
    talk.pass_time(LEASE - TICK)
    assert asked(talk) == [("q", 1)]
    talk.pass_time(TICK)
    assert asked(talk) == [("q", 1), ("q", 2)]
    assert len({ask.turn_id for ask in talk.asked()}) == 1


def test_two_attempts_at_most() -> None:
    """After the second attempt was lost the turn is over, empty and not spoken."""
    talk = Talk()
    talk.say("q")
    talk.pass_time(LEASE)
    talk.pass_time(LEASE - TICK)
    assert talk.completed() == []
    talk.pass_time(TICK)
    assert talk.completed() == [("", False)]
    talk.pass_time(10 * LEASE)
    assert (asked(talk), talk.completed()) == ([("q", 1), ("q", 2)], [("", False)])


def test_failed_brings_the_second_attempt_at_once() -> None:
    """`failed` brings the second attempt at once, and the completion after that one failed too."""
    talk = Talk()
    talk.say("q")
    talk.ai("failed")
    talk.ai("failed")
    assert asked(talk) == [("q", 1), ("q", 2)]
    talk.ai("failed", attempt=2)
    assert talk.completed() == [("", False)]


def test_running_holds_the_lease() -> None:
    """A lease goes on from the last `running`."""
    talk = Talk()
    talk.say("q")
    for _ in range(5):
        talk.pass_time(LEASE - TICK)
        talk.ai("running")
    talk.pass_time(LEASE - TICK)
    assert asked(talk) == [("q", 1)]
    talk.pass_time(TICK)
    assert asked(talk) == [("q", 1), ("q", 2)]


def test_heartbeats_ask_for_no_wake_each() -> None:
    """A heartbeat while a wake is on its way asks for nothing."""
    talk = Talk()
    talk.say("q")
    talk.pass_time(LEASE / 3)
    talk.ai("running")
    assert talk.new == []


def test_a_wake_that_did_not_come_is_asked_for_anew() -> None:
    """A report that finds the wake overdue asks for the next one, and still counts."""
    talk = Talk()
    talk.say("q")
    talk.now += 2 * LEASE
    talk.ai("running")
    assert talk.new == [Wake(key="turn", at=talk.now + LEASE)]
    assert asked(talk) == [("q", 1)]
    talk.pass_time(LEASE)
    assert asked(talk) == [("q", 1), ("q", 2)]


def test_a_wake_too_early_is_asked_for_again_later() -> None:
    """A wake that comes early takes nothing away, and the next one is for a moment of its own."""
    talk = Talk()
    talk.say("q")
    first = talk.talk.wake_at
    talk.wake()
    again = talk.talk.wake_at
    assert asked(talk) == [("q", 1)]
    assert first is not None
    assert again == first + TICK
    talk.pass_time(LEASE + TICK)
    assert asked(talk) == [("q", 1), ("q", 2)]


def test_a_part_counts_as_running() -> None:
    """The AI's lease goes on from its last part."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.pass_time(LEASE - TICK)
    talk.reply(0, "a")
    talk.pass_time(LEASE - TICK)
    talk.reply(1, "b", final=True)
    assert talk.completed() == [("a b", False)]


@pytest.mark.parametrize("end", ["silence", "failed", "completed", "cancelled"])
def test_not_asked_again_after_a_part(end: str) -> None:
    """Once a part came the turn is not asked again: the answer is what came without a gap."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(0, "a")
    talk.reply(1, "b")
    if end == "silence":
        talk.pass_time(LEASE)
    else:
        talk.ai(end)
        talk.pass_time(UNDER_WAY)
    assert (asked(talk), talk.completed()) == ([("q", 1)], [("a b", False)])


def test_what_is_behind_a_gap_is_no_answer() -> None:
    """An answer that is given up ends before its first gap."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(0, "a")
    talk.reply(2, "c", final=True)
    talk.pass_time(LEASE)
    assert talk.completed() == [("a", False)]


def test_completed_without_an_answer() -> None:
    """`completed` without any part ends the turn a moment later, empty, and it is not asked again."""
    talk = Talk()
    talk.say("q")
    talk.ai("completed")
    talk.pass_time(UNDER_WAY - TICK)
    assert talk.completed() == []
    talk.pass_time(TICK)
    assert (asked(talk), talk.completed()) == ([("q", 1)], [("", False)])


def test_completed_waits_for_a_part_that_is_known() -> None:
    """After `completed` a part that must exist is waited for until the lease is over."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(1, "b")
    talk.ai("completed")
    talk.pass_time(LEASE - TICK)
    assert talk.completed() == []
    talk.reply(0, "a")
    talk.pass_time(UNDER_WAY)
    assert talk.completed() == [("a b", False)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_completed_may_overtake_the_answer(order: tuple[int, ...]) -> None:
    """Wherever `completed` comes among the parts, the whole answer is taken, at once when its last part is known."""
    talk = Talk(speak=False)
    talk.say("q")
    turn = talk.turn_id
    for step in order:
        if step == 2:
            talk.ai("completed", turn=turn)
        else:
            talk.reply(step, "ab"[step], final=step == 1, turn=turn)
    assert (asked(talk), talk.completed()) == ([("q", 1)], [("a b", False)])


def test_parts_after_completed_have_a_moment_each() -> None:
    """After `completed` each part is given a moment for the next one; there is no second attempt."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.ai("completed")
    for number in range(3):
        talk.pass_time(UNDER_WAY - TICK)
        talk.reply(number, "abc"[number])
    talk.pass_time(UNDER_WAY)
    assert (asked(talk), talk.completed()) == ([("q", 1)], [("a b c", False)])


def test_nothing_beyond_the_final_part() -> None:
    """`is_final` on part n means 0 … n: what is beyond it is left out, whenever it came."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(2, "c")
    talk.reply(1, "b", final=True)
    talk.reply(3, "d", final=True)
    assert talk.counted() == ["late_report"]
    talk.reply(0, "a")
    assert talk.completed() == [("a b", False)]


def test_a_copy_of_a_part_may_say_that_it_is_the_last() -> None:
    """`is_final` counts on a part that came before without it, too: the answer ends there at once."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(0, "a")
    talk.reply(2, "c")
    talk.reply(1, "b")
    talk.reply(1, "b", final=True)
    assert talk.completed() == [("a b", False)]


@pytest.mark.parametrize("heard", [[], ["running"], ["running", "completed"]])
def test_a_copy_ends_no_answer_that_went_on(heard: list[str]) -> None:
    """A copy of a part says too late that it is the last, when TTS was given one beyond it."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.tts(0, "completed")
    talk.reply(1, "b")
    for state in heard:
        talk.tts(1, state)
    talk.reply(0, "a", final=True)
    assert talk.completed() == []
    talk.reply(2, "", final=True)
    if "completed" not in heard:
        talk.tts(1, "completed")
    assert talk.completed() == [("a b", True)]


def test_blank_parts_beyond_the_last_are_nothing() -> None:
    """Only what is spoken cannot be left out any more."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.tts(0, "completed")
    talk.reply(1, "")
    talk.reply(0, "a", final=True)
    assert talk.completed() == [("a", True)]


def test_the_first_final_part_counts() -> None:
    """A second part that says it is the final one changes nothing about where the answer ends."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(2, "c", final=True)
    talk.reply(1, "b", final=True)
    talk.reply(0, "a", final=True)
    assert talk.completed() == [("a b c", False)]


@pytest.mark.parametrize("state", WorkState)
def test_nothing_after_the_whole_answer(state: WorkState) -> None:
    """When the answer is all there the AI's word and its silence change nothing; its part is spoken on."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a", final=True)
    before = talk.state
    talk.ai(state)
    assert (talk.state, talk.new) == (before, [])
    for _ in range(3):
        talk.pass_time(LEASE / 2)
        talk.tts(0, "running")
    talk.reply(0, "a", final=True)
    assert talk.cancels() == []
    talk.tts(0, "completed")
    assert talk.completed() == [("a", True)]


def test_an_answer_that_was_given_up_has_no_echo() -> None:
    """Who repeats a part of an answer that was given up is told to stop: there may be more to come."""
    talk = Talk(speak=False)
    talk.say("q")
    turn = talk.turn_id
    talk.reply(0, "a")
    talk.pass_time(LEASE)
    talk.reply(0, "a", turn=turn)
    assert talk.cancels() == [("ai", 1, "ai-1", "superseded")]


def test_another_instance_is_told_to_stop() -> None:
    """Who reports on an attempt that another holds is told to stop, by name, and nobody else."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.ai("running", source="ai-1")
    talk.ai("running", source="ai-2")
    assert talk.cancels() == [("ai", 1, "ai-2", "superseded")]
    talk.reply(0, "wrong", final=True, source="ai-2", attempt=None)
    assert talk.cancels() == [("ai", 1, "ai-2", "superseded")]
    talk.ai("failed", source="ai-2")
    assert talk.new == []
    talk.reply(0, "right", final=True, source="ai-1")
    assert talk.completed() == [("right", False)]


def test_the_first_attempt_answers_late() -> None:
    """An answer to the lost attempt is not taken; its sender is told to stop that attempt."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.ai("running", source="ai-1")
    talk.pass_time(2 * LEASE - TICK)
    talk.ai("running", source="ai-2", attempt=2)
    talk.reply(0, "late", final=True, source="ai-1")
    assert talk.cancels() == [("ai", 1, "ai-1", "superseded")]
    talk.reply(0, "second", final=True, source="ai-2", attempt=2)
    assert talk.completed() == [("second", False)]


@pytest.mark.parametrize(("attempt", "named"), [(2, 2), (None, None)])
def test_a_late_answer_to_a_turn_that_is_over(attempt: int | None, named: int | None) -> None:
    """A late answer to a turn that was given up is answered by a cancel, and changes nothing."""
    talk = Talk()
    talk.say("q")
    turn = talk.turn_id
    talk.pass_time(2 * LEASE)
    before = talk.state
    talk.reply(0, "late", attempt=attempt, turn=turn)
    assert talk.cancels() == [("ai", named, "ai-1", "superseded")]
    talk.ai("running", attempt=2, turn=turn)
    assert talk.cancels() == [("ai", 2, "ai-1", "superseded")]
    assert talk.state == before


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_last_words_of_a_turn_that_is_over(state: str) -> None:
    """Last words about a turn that is over are answered by nothing."""
    talk = Talk()
    talk.say("q")
    turn = talk.turn_id
    talk.speak_up()
    talk.ai(state, turn=turn)
    assert talk.new == []


def test_an_echo_of_the_answer_is_no_late_answer() -> None:
    """Who repeats a part of an answer that was taken whole is not told to stop, but another instance is."""
    talk = Talk(speak=False)
    talk.say("q")
    turn = talk.turn_id
    talk.reply(0, "a", final=True)
    talk.reply(0, "a", final=True, turn=turn)
    assert talk.new == []
    talk.ai("running", turn=turn)
    assert talk.new == []
    talk.reply(0, "a", final=True, turn=turn, source="ai-2")
    assert talk.cancels() == [("ai", 1, "ai-2", "superseded")]


def test_at_work_on_an_answer_that_was_given_up() -> None:
    """While the rest is spoken, who goes on with an answer that was given up is told to stop."""
    talk = Talk()
    talk.say("q")
    talk.reply(0, "a")
    talk.pass_time(LEASE / 2)
    talk.tts(0, "running")
    talk.pass_time(LEASE / 2)
    talk.reply(1, "b")
    assert talk.cancels() == [("ai", 1, "ai-1", "superseded")]
    talk.ai("running")
    assert talk.cancels() == [("ai", 1, "ai-1", "superseded")]
    talk.tts(0, "completed")
    assert talk.completed() == [("a", True)]


def test_unknown_turns_and_attempts_are_counted() -> None:
    """A report on a turn or an attempt that June never gave changes nothing and is counted."""
    talk = Talk()
    talk.say("q")
    before = talk.state
    talk.ai("failed", turn="turn_unknown")
    assert talk.counted() == ["unknown_report"]
    talk.ai("failed", attempt=2)
    assert talk.counted() == ["unknown_report"]
    talk.reply(0, "a", attempt=7)
    assert talk.counted() == ["unknown_report"]
    assert talk.state == before


def test_an_answer_is_bounded() -> None:
    """A part that makes an answer longer than 1 MiB is not taken, and holds no lease."""
    talk = Talk(speak=False)
    talk.say("q")
    talk.reply(0, "x" * 1024 * 1024)
    talk.pass_time(LEASE - TICK)
    talk.reply(1, "y", final=True)
    assert talk.counted() == ["answer_too_long"]
    talk.pass_time(TICK)
    assert [len(text) for text, _ in talk.completed()] == [1024 * 1024]
