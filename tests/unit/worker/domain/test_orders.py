"""Every order: facts of a room permuted, doubled and lost, and reports on a job as they please."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import JobChanged, TranscriptAdded
from schemas.participants import ParticipantKind, TrackSource
from tests.support.memory_domain import MemoryDomain, messages, of, stops, story
from tests.support.servers import examples
from tests.unit.worker.domain.facts import (
    LEASE,
    RM,
    completed,
    failed,
    final,
    joined,
    left,
    published,
    room_finished,
    room_started,
    running,
    speech_started,
    the_job,
    unpublished,
)
from worker.domain.decide import decide
from worker.domain.effects import Count, OfferJob
from worker.domain.facts import (
    Fact,
    ParticipantJoined,
    ParticipantLeft,
    RoomFact,
    RoomFinished,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.model import RoomSid
from worker.domain.voices import is_own_bot

KINDS = [ParticipantKind.STANDARD, ParticipantKind.SIP, ParticipantKind.AGENT, ParticipantKind.EGRESS]
SOURCES = [TrackSource.MICROPHONE, TrackSource.UNKNOWN, TrackSource.SCREEN_SHARE_AUDIO]


@st.composite
def _person(draw: st.DrawFn, number: int) -> list[RoomFact]:
    """What LiveKit tells of one participant and its tracks; identities repeat, sids do not."""
    sid, identity = f"PA_{number}", draw(st.sampled_from(["ann", "bob", "june-stt-1", "june-tts-1"]))
    facts: list[RoomFact] = [joined(sid, identity=identity, kind=draw(st.sampled_from(KINDS)))]
    for nth in range(draw(st.integers(0, 2))):
        track = f"TR_{number}_{nth}"
        facts.append(published(track, by=sid, identity=identity, source=draw(st.sampled_from(SOURCES))))
        if draw(st.booleans()):
            facts.append(unpublished(track, by=sid, identity=identity))
    if draw(st.booleans()):
        facts.append(left(sid, identity=identity))
    return facts


@st.composite
def _shuffled(draw: st.DrawFn, *, ends: st.SearchStrategy[bool]) -> list[RoomFact]:
    """Facts of one room in any order, some lost, some doubled."""
    facts: list[RoomFact] = [room_started()]
    for number in range(draw(st.integers(1, 4))):
        facts += draw(_person(number))
    kept = draw(st.lists(st.sampled_from(facts), max_size=2 * len(facts)))
    if draw(st.booleans()):
        kept += facts
    if draw(ends):
        kept.append(room_finished())
    return draw(st.permutations(kept))


@dataclass(frozen=True, kw_only=True)
class _Lives:
    """What lives in the room: by sid."""

    people: set[str]
    tracks: set[str]
    voices: set[str]


def _lives_after(facts: list[RoomFact]) -> _Lives:
    """What is true at the end, in whatever order it was told."""
    if any(isinstance(fact, RoomFinished) for fact in facts):
        return _Lives(people=set(), tracks=set(), voices=set())
    gone = {fact.sid for fact in facts if isinstance(fact, ParticipantLeft | TrackUnpublished)}
    people = {
        each.sid: each for each in facts if isinstance(each, ParticipantJoined) and each.sid not in gone
    }
    shown = {sid: each for sid, each in people.items() if not is_own_bot(each.kind, each.identity)}
    tracks = [each for each in facts if isinstance(each, TrackPublished) and each.sid not in gone]
    told = [track for track in tracks if track.participant_sid in shown]
    voices = {
        str(track.sid)
        for track in told
        if shown[track.participant_sid].kind in {ParticipantKind.STANDARD, ParticipantKind.SIP}
        and track.source is not TrackSource.SCREEN_SHARE_AUDIO
    }
    return _Lives(people=set(people), tracks={track.sid for track in told}, voices=voices)


def _living(domain: MemoryDomain) -> _Lives:
    room = RoomSid(RM)
    return _Lives(
        people={str(each.sid) for each in domain.tables.live_participants(room)},
        tracks={str(each.sid) for each in domain.tables.live_tracks(room) if each.announced},
        voices={str(each.track_sid) for each in domain.tables.live_jobs(room)},
    )


@given(_shuffled(ends=st.booleans()))
@settings(max_examples=examples(100), deadline=None)
def test_every_order_ends_with_the_same_lives(facts: list[RoomFact]) -> None:
    """Permuted, doubled, lost: who lives, and what runs, depends on what was told and never on when."""
    domain = MemoryDomain()
    domain.give(*facts)
    assert _living(domain) == _lives_after(facts)


@given(_shuffled(ends=st.booleans()))
@settings(max_examples=examples(60), deadline=None)
def test_each_sid_comes_once_and_goes_once(facts: list[RoomFact]) -> None:
    """Joined before left, published before unpublished, a track within its participant, all within the session."""
    domain = MemoryDomain()
    lines = story(domain.give(*facts))
    assert len(lines) == len(set(lines))
    for line in lines:
        what, _, sid = line.partition(" ")
        if what in {"left", "unpublished"}:
            opening = {"left": "joined", "unpublished": "published"}[what]
            assert lines.index(f"{opening} {sid}") < lines.index(line)
        if what == "offer":
            assert lines.index(f"published {sid.split()[0]}") < lines.index(line)
    if "session ended" in lines:
        assert lines[-1] == "session ended"
    if lines:
        assert lines[0] == "session created"


@given(_shuffled(ends=st.just(True)))
@settings(max_examples=examples(50), deadline=None)
def test_a_finished_room_is_empty(facts: list[RoomFact]) -> None:
    """Once the room's end was told nothing lives in it, no timer brings anything back, and no session waits."""
    domain = MemoryDomain()
    domain.give(*facts)
    assert not of(domain.wait(timedelta(hours=1)), OfferJob)
    assert _living(domain) == _Lives(people=set(), tracks=set(), voices=set())
    assert not domain.tables.live_tracks(RoomSid(RM))
    assert all(not session.live for session in domain.tables.sessions.values())


@given(_shuffled(ends=st.just(False)), st.data())
@settings(max_examples=examples(50), deadline=None)
def test_a_room_that_is_superseded_leaves_nothing(facts: list[RoomFact], data: st.DataObject) -> None:
    """Whatever lived in the old room is over when the new one is seen, and its late events start nothing."""
    domain = MemoryDomain()
    domain.give(*facts, room_started("RM_2"))
    late = data.draw(st.lists(st.sampled_from(facts), max_size=5)) if facts else []
    domain.give(*late)
    if facts:
        assert _living(domain) == _Lives(people=set(), tracks=set(), voices=set())
    assert [session.room_sid for session in domain.tables.sessions.values()] == ["RM_2"]


@given(_shuffled(ends=st.booleans()))
@settings(max_examples=examples(100), deadline=None)
def test_a_copy_changes_nothing(facts: list[RoomFact]) -> None:
    """All facts again, in the same order, make no difference and no message."""
    domain = MemoryDomain()
    domain.give(*facts)
    assert domain.give(*facts) == []


_INSTANCES = st.sampled_from(["stt-a", "stt-b", "stt-c"])
_ATTEMPTS = st.integers(1, 5)
_REPORTS = st.one_of(
    st.builds(lambda attempt, by: running(attempt, by=by), _ATTEMPTS, _INSTANCES),
    st.builds(lambda attempt, by: failed(attempt, by=by), _ATTEMPTS, _INSTANCES),
    st.builds(lambda by: speech_started(by=by), _INSTANCES),
    st.builds(
        lambda utterance, by, attempt: final(utterance=utterance, by=by, attempt=attempt),
        st.sampled_from(["u1", "u2", "u3"]),
        _INSTANCES,
        st.none() | _ATTEMPTS,
    ),
)
_TIMES = st.integers(1, 90_000).map(lambda ms: timedelta(milliseconds=ms))
_ENDS = st.sampled_from([unpublished(), left(), room_finished(), completed(1, by="stt-a")])
_STEPS = st.lists(st.one_of(_REPORTS, _REPORTS, _TIMES, _TIMES, _ENDS), max_size=40)


def _played(steps: list[Fact | timedelta]) -> MemoryDomain:
    """A voice, and then these."""
    domain = MemoryDomain()
    domain.give(joined(), published())
    for step in steps:
        if isinstance(step, timedelta):
            domain.wait(step)
        else:
            domain.give(step)
    return domain


@given(_STEPS)
@settings(max_examples=examples(100), deadline=None)
def test_a_job_is_held_by_one(steps: list[Fact | timedelta]) -> None:
    """Attempts rise by one and run once; words count once; an ended job is offered no more; a live one never rests."""
    domain = _played(steps)
    offers = [offer.job.attempt for offer in of(domain.log, OfferJob)]
    assert offers == list(range(1, len(offers) + 1))
    _check_news(domain)
    _check_rest(domain)


def _check_news(domain: MemoryDomain) -> None:
    told: dict[int, list[str]] = defaultdict(list)
    for event in messages(domain.log):
        if isinstance(event, JobChanged):
            told[event.attempt].append(event.state)
    for states in told.values():
        assert states in (
            ["waiting"],
            ["waiting", "running"],
            ["waiting", "running", "ended"],
            ["waiting", "ended"],
        )
    said = [event.utterance_id for event in messages(domain.log) if isinstance(event, TranscriptAdded)]
    assert len(said) == len(set(said))


def _check_rest(domain: MemoryDomain) -> None:
    """Without another word: a live job is offered again, one that ended never."""
    job = the_job(domain)
    offers = of(domain.wait(LEASE + timedelta(seconds=15)), OfferJob)
    assert bool(offers) == job.live


@given(_STEPS, st.sampled_from(["stt-a", "stt-b"]), _ATTEMPTS)
@settings(max_examples=examples(60), deadline=None)
def test_who_should_not_run_is_told_once(steps: list[Fact | timedelta], by: str, attempt: int) -> None:
    """A `running` that does not count is answered by exactly one stop that names attempt and instance, or counted."""
    domain = _played(steps)
    effects = domain.give(running(attempt, by=by))
    job = the_job(domain)
    if job.live and (job.holder, job.attempt) == (by, attempt):
        assert not stops(effects)
    elif of(effects, Count):
        assert attempt >= job.attempt
    else:
        (stop,) = stops(effects)
        assert (stop.attempt, stop.instance) == (attempt, by)


@given(_shuffled(ends=st.booleans()))
@settings(max_examples=examples(50), deadline=None)
def test_decisions_are_pure(facts: list[RoomFact]) -> None:
    """The same slice and fact give the same decision, and the slice stays as it was."""
    domain = MemoryDomain()
    for fact in facts:
        before = domain.slice(fact)
        first = decide(before, fact, domain.now, domain.policy)
        assert decide(before, fact, domain.now, domain.policy) == first
        assert before == domain.slice(fact)
        domain.give(fact)
