"""What holds of turns whatever comes, in whatever order, doubled or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import TurnCompleted
from schemas.reports import WorkState
from tests.support.servers import examples
from tests.support.talk import LEASE, Talk
from worker.domain.conversation import to_json
from worker.domain.effects import Announce, AskAi, Speak
from worker.domain.turn_bounds import ANSWER_BYTES, HISTORY_BYTES, WAITING_BYTES

Step = Callable[[Talk], None]

people = st.sampled_from(["ada", "bob"])
attempts = st.integers(1, 3)
parts = st.integers(0, 3)
instances = st.sampled_from(["one", "two"])
states = st.sampled_from(WorkState)
texts = st.sampled_from(["", "yes", "no \N{SNOWMAN}", "\x01"])


def _any_turn(talk: Talk, back: int) -> str:
    """The turn that was begun so many turns ago, if there was one."""
    known = list(talk.state.turns)
    return known[-1 - back] if back < len(known) else "turn_unknown"


def _say(who: str, text: str) -> Step:
    return lambda talk: talk.say(text, by=who)


def _reply(back: int, part: int, text: str, final: bool, attempt: int | None, source: str) -> Step:
    return lambda talk: talk.reply(
        part, text, final=final, attempt=attempt, source=source, turn=_any_turn(talk, back)
    )


def _ai(back: int, state: WorkState, attempt: int, source: str) -> Step:
    return lambda talk: talk.ai(state, attempt=attempt, source=source, turn=_any_turn(talk, back))


def _tts(back: int, part: int, state: WorkState, attempt: int, source: str) -> Step:
    return lambda talk: talk.tts(part, state, attempt=attempt, source=source, turn=_any_turn(talk, back))


def _leave(who: str) -> Step:
    return lambda talk: talk.leave(who)


def _pass(share: float) -> Step:
    return lambda talk: talk.pass_time(LEASE * share)


# Mostly the turn in the making, so that runs come far.
back = st.sampled_from([0, 0, 0, 0, 1, 2])
steps = st.one_of(
    st.builds(_say, people, texts),
    st.builds(_reply, back, parts, texts, st.booleans(), st.none() | attempts, instances),
    st.builds(_ai, back, states, attempts, instances),
    st.builds(_tts, back, parts, states, attempts, instances),
    st.builds(_leave, people),
    st.builds(_pass, st.sampled_from([0.3, 0.9, 1.0, 1.1])),
    st.sampled_from([Talk.speak_up, Talk.wake]),
)


def _check(talk: Talk) -> None:
    """Each turn is asked, spoken and completed as the contract says, and none before the one before is over."""
    asked: Counter[str] = Counter()
    spoken: dict[str, list[tuple[int, int]]] = {}
    over: list[str] = []
    for effect in talk.effects:
        match effect:
            case AskAi():
                asked[effect.turn_id] += 1
                assert effect.attempt == asked[effect.turn_id] <= 2
                assert set(asked) - set(over) == {effect.turn_id}
            case Speak():
                assert effect.turn_id not in over
                spoken.setdefault(effect.turn_id, []).append((effect.part, effect.attempt))
            case Announce(event=TurnCompleted() as event):
                assert event.turn_id not in over
                assert not event.spoken or event.text
                over.append(event.turn_id)
            case _:
                pass
    for given_parts in spoken.values():
        assert all(earlier < later for earlier, later in pairwise(given_parts))
        assert all(attempt <= 2 for _, attempt in given_parts)
    making = talk.state.conversation.turn if talk.state.conversation is not None else None
    assert set(asked) - set(over) == ({making.turn_id} if making is not None else set())
    assert making is None or talk.wake_pending


@given(st.lists(steps, max_size=40), st.booleans())
@settings(max_examples=examples(80), deadline=None)
def test_whatever_comes(run: list[Step], speak: bool) -> None:
    """At most one turn is in the making, asked and spoken twice at most, in order; with time each completes once."""
    talk = Talk(speak=speak)
    for step in run:
        step(talk)
        _check(talk)
    talk.pass_time(30 * LEASE)
    _check(talk)
    assert Counter(event.turn_id for event in talk.completions()) == Counter(list(talk.state.turns))
    if talk.state.conversation is not None:
        assert (talk.talk.turn, talk.talk.waiting) == (None, ())


@given(st.lists(steps, max_size=25))
@settings(max_examples=examples(30), deadline=None)
def test_the_end_leaves_nothing(run: list[Step]) -> None:
    """After the session's end every turn is completed, once, and no report, wake or word begins another."""
    talk = Talk()
    for step in run:
        step(talk)
    talk.end()
    ended = talk.completions()
    assert Counter(event.turn_id for event in ended) == Counter(list(talk.state.turns))
    for step in run:
        step(talk)
    assert talk.completions() == ended


@given(st.data(), st.booleans())
@settings(max_examples=examples(50), deadline=None)
def test_an_answer_permuted_and_doubled(data: st.DataObject, speak: bool) -> None:
    """Parts permuted and doubled, with heartbeats between, are spoken and completed as if they came in order."""
    count = data.draw(st.integers(1, 4))
    reports = [
        _reply(0, number, f"p{number}", final, 1, "one")
        for number in range(count)
        for final in [number == count - 1]
    ]
    doubled = [*reports, *data.draw(st.lists(st.sampled_from(reports), max_size=4))]
    heartbeats = [_ai(0, WorkState.RUNNING, 1, "one")] * data.draw(st.integers(0, 3))
    talk = Talk(speak=speak)
    talk.say("q")
    for report in data.draw(st.permutations([*doubled, *heartbeats])):
        report(talk)
        assert talk.cancels() == []
    for part in range(count if speak else 0):
        talk.tts(part, "running")
        talk.tts(part, "completed")
    assert talk.completed() == [(" ".join(f"p{number}" for number in range(count)), speak)]
    assert len(talk.asked()) == 1
    assert [part for _, part, _ in talk.spoken()] == list(range(count if speak else 0))


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 300_000)), min_size=1, max_size=12))
@settings(max_examples=examples(15), deadline=None)
def test_its_size_is_bounded(lengths: list[tuple[int, int]]) -> None:
    """However much is said and answered, the document stays within its bounds."""
    talk = Talk(speak=False)
    for said, answered in lengths:
        talk.say("w" * said + ".")
        for part in range(4):
            talk.reply(part, "a" * answered, final=part == 3 and said % 2 == 0)
            if talk.talk.turn is None:
                break
        frames = 16 * 1024
        most = WAITING_BYTES * 2 + HISTORY_BYTES + ANSWER_BYTES + frames
        assert len(to_json(talk.talk)) <= most
