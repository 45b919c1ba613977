"""Words: which finals are taken, once, and from whom."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.events import TranscriptAdded
from schemas.reports import AiReply, AiStatus, TtsStatus, WorkState
from tests.support.memory_domain import MemoryDomain, messages, of, story
from tests.unit.worker.domain.facts import (
    LEASE,
    TICK,
    completed,
    failed,
    final,
    joined,
    left,
    partial,
    published,
    reservation,
    room_finished,
    room_missing,
    running,
    speech_started,
    the_job,
    the_session,
)
from worker.domain import sessions
from worker.domain.effects import AskAi
from worker.domain.facts import Fact, Reported

TAKEN = ["TranscriptAdded", "AskAi"]
LAST_WORDS = timedelta(seconds=10)


def test_a_final_is_told_and_asks_the_ai(domain: MemoryDomain) -> None:
    """The words are an event, and the beginning of a turn."""
    domain.give(running())
    effects = domain.give(final("good day"))
    assert story(effects) == TAKEN
    (event,) = messages(effects)
    assert isinstance(event, TranscriptAdded)
    assert (event.text, event.utterance_id, event.language, event.confidence) == (
        "good day",
        "u1",
        "en",
        None,
    )
    assert (event.participant.sid, event.participant.identity) == ("PA_1", "ann")
    assert of(effects, AskAi)[0].text == "good day"


def test_a_final_says_its_language(domain: MemoryDomain) -> None:
    """The one that was heard, in the event and in the turn."""
    domain.give(running())
    effects = domain.give(final("guten Tag", language="de-CH"))
    (event,) = messages(effects)
    assert isinstance(event, TranscriptAdded)
    assert (event.language, of(effects, AskAi)[0].language) == ("de-CH", "de-CH")


def test_without_ai_a_final_is_only_told() -> None:
    """A session that wants no AI has its words told, and no turn."""
    domain = MemoryDomain()
    domain.put(reservation(ai_enabled=False))
    domain.give(joined(), published(), running())
    assert story(domain.give(final(), speech_started())) == ["TranscriptAdded"]


def test_partials_change_nothing(domain: MemoryDomain) -> None:
    """They are no words, use no utterance up and hold no lease."""
    assert domain.give(partial()) == []
    domain.give(running())
    before = the_job(domain)
    assert domain.give(partial()) == []
    assert the_job(domain) == before
    assert story(domain.give(final())) == TAKEN


def test_partials_show_who_is_at_work(domain: MemoryDomain) -> None:
    """Whoever hears a voice that another holds, or by a lost attempt, is told to stop."""
    domain.give(running(1), failed(1), running(2))
    assert story(domain.give(partial(by="stt-b"))) == ["stop TR_1 2 stt-b superseded"]
    assert story(domain.give(partial(attempt=1))) == ["stop TR_1 1 stt-a superseded"]


def test_partials_after_the_end_are_told_to_stop(domain: MemoryDomain) -> None:
    """While last words may come nobody is told again; later, whoever goes on is."""
    domain.give(running(), left())
    domain.wait(LAST_WORDS)
    assert domain.give(partial()) == []
    assert story(domain.give(partial(by="stt-b"))) == ["stop TR_1 1 stt-b participant_left"]
    domain.wait(TICK)
    assert story(domain.give(partial())) == ["stop TR_1 1 stt-a participant_left"]


def test_an_utterance_counts_once(domain: MemoryDomain) -> None:
    """A second final of the same utterance changes nothing, whatever it says; another utterance does."""
    domain.give(running(), final("one"))
    assert domain.give(final("two")) == []
    assert story(domain.give(final("three", utterance="u2"))) == ["TranscriptAdded"]


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_final_says_nothing(domain: MemoryDomain, text: str) -> None:
    """No event and no turn; its utterance has had its final."""
    domain.give(running())
    assert story(domain.give(final(text))) == ["count blank_final"]
    assert domain.give(final("late")) == []


def test_words_may_come_before_running(domain: MemoryDomain) -> None:
    """While nobody holds the job, anybody's words are taken; they bind nobody."""
    assert story(domain.give(final(by="stt-b"))) == TAKEN
    assert the_job(domain).holder is None


def test_another_than_the_holder_is_not_heard(domain: MemoryDomain) -> None:
    """Two instances on one voice would double its words: the second is told to stop."""
    domain.give(running(by="stt-a"))
    assert story(domain.give(final(by="stt-b"))) == ["stop TR_1 1 stt-b superseded"]
    assert story(domain.give(final(by="stt-a"))) == TAKEN


def test_a_lost_attempt_is_not_heard_once_another_holds(domain: MemoryDomain) -> None:
    """Its words would come twice; it is told to stop, even when the same instance holds the new attempt."""
    domain.give(running(1), failed(1), running(2))
    assert story(domain.give(final(attempt=1))) == ["stop TR_1 1 stt-a superseded"]
    assert story(domain.give(final(attempt=2))) == TAKEN


def test_a_lost_attempt_is_heard_until_another_holds(domain: MemoryDomain) -> None:
    """Nobody else can say these words yet: they are taken, and whoever says them is told to stop."""
    domain.give(running(1))
    domain.wait(LEASE)
    assert story(domain.give(final(attempt=1))) == [*TAKEN, "stop TR_1 1 stt-a superseded"]


def test_words_hold_no_lease(domain: MemoryDomain) -> None:
    """Only `running` does."""
    domain.give(running())
    domain.wait(LEASE - TICK)
    domain.give(final())
    domain.wait(TICK)
    assert the_job(domain).attempt == 2


def test_words_on_an_attempt_to_come_are_counted(domain: MemoryDomain) -> None:
    """Nobody can have taken what was not offered."""
    assert story(domain.give(final(attempt=2))) == ["count unknown_report"]


def test_an_unknown_turn_is_counted(domain: MemoryDomain) -> None:
    """Answers, and word of how an answer or its speech goes, that name no turn of June's are dropped."""
    reports = (
        AiReply(turn_id="t", part=0, text="hi", is_final=True),
        AiStatus(turn_id="t", attempt=1, state=WorkState.RUNNING),
        TtsStatus(turn_id="t", part=0, attempt=1, state=WorkState.RUNNING),
    )
    facts = [Reported(source="ai-1", report=report) for report in reports]
    assert story(domain.give(*facts)) == ["count unknown_report"] * 3


def test_an_unknown_job_is_counted() -> None:
    """Words that name nothing June knows are dropped."""
    assert story(MemoryDomain().give(final(), speech_started(), partial())) == ["count unknown_report"] * 3


class TestLastWords:
    """Finals that come after the end of their job."""

    @pytest.mark.parametrize("end", [left(), completed()])
    def test_are_taken_for_a_while(self, domain: MemoryDomain, end: Fact) -> None:
        """Within ten seconds, the last moment included, they count as any others."""
        domain.give(running(), end)
        domain.wait(LAST_WORDS)
        assert story(domain.give(final())) == TAKEN

    def test_are_too_late_after_that(self, domain: MemoryDomain) -> None:
        """Later they are dropped, and whoever is still at it is told to stop."""
        domain.give(running(), left())
        domain.wait(LAST_WORDS + TICK)
        assert story(domain.give(final())) == ["count late_report", "stop TR_1 1 stt-a participant_left"]

    def test_are_the_holders_own(self, domain: MemoryDomain) -> None:
        """Who did not hold the job has no last words."""
        domain.give(running(by="stt-a"), left())
        effects = domain.give(final(by="stt-b"))
        assert story(effects) == ["count late_report", "stop TR_1 1 stt-b participant_left"]

    def test_are_anybodys_when_nobody_held_it(self, domain: MemoryDomain) -> None:
        """A job that ended before its first `running` may have been at work all the same."""
        domain.give(left())
        assert story(domain.give(final(by="stt-b"))) == TAKEN

    def test_start_no_turn_after_the_session(self, domain: MemoryDomain) -> None:
        """The end of the session is the end of its turns; the words are still told, once."""
        domain.give(running(), room_finished())
        assert story(domain.give(final(), final())) == ["TranscriptAdded"]


class TestSpeechStarted:
    """The beginning of speech interrupts an answer."""

    def test_it_cancels_the_turn(self, domain: MemoryDomain) -> None:
        """The holder's word ends the turn in the making, once."""
        domain.give(running(), final())
        assert story(domain.give(speech_started())) == ["AiCancel", "TurnCompleted"]
        assert domain.give(speech_started()) == []

    def test_it_is_nothing_without_a_turn(self, domain: MemoryDomain) -> None:
        """Nobody is interrupted when nobody speaks."""
        domain.give(running())
        assert domain.give(speech_started()) == []

    def test_another_than_the_holder_is_told_to_stop(self, domain: MemoryDomain) -> None:
        """It interrupts nobody."""
        domain.give(running(by="stt-a"), final())
        assert story(domain.give(speech_started(by="stt-b"))) == ["stop TR_1 1 stt-b superseded"]

    def test_after_the_end_it_is_told_to_stop(self, domain: MemoryDomain) -> None:
        """Who still listens is told again."""
        domain.give(running(), left())
        assert story(domain.give(speech_started())) == ["stop TR_1 1 stt-a participant_left"]


def test_a_turn_of_somebody_who_left_is_over(domain: MemoryDomain) -> None:
    """Nobody waits for the answer: the leave comes first, then the turn's end."""
    domain.give(running(), final())
    assert story(domain.give(left()))[-3:] == ["left PA_1", "AiCancel", "TurnCompleted"]


def test_a_turn_in_a_room_that_vanished_is_over(domain: MemoryDomain) -> None:
    """Whoever was in it has left, so nobody waits for the answer; the session may go on."""
    domain.give(running(), final())
    assert story(domain.give(room_missing()))[-3:] == ["left PA_1", "AiCancel", "TurnCompleted"]
    assert the_session(domain).live


def test_a_turn_is_over_before_the_session_that_is_deleted(domain: MemoryDomain) -> None:
    """Its end is told once, and what waits is not asked."""
    domain.give(running(), final(), final("and", utterance="u2"))
    session_id = the_session(domain).session_id
    effects = domain.order(session_id, lambda state: sessions.delete(state, domain.now, domain.policy))
    assert story(effects)[-4:] == ["AiCancel", "TurnCompleted", "session ended", "CloseRoom"]
    assert "AskAi" not in story(effects)
