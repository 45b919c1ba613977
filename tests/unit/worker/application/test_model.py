"""The domain and the store against a model of all that surrounds them: whatever happens, in whatever order it is told,
June ends up where LiveKit is, and never said anything wrong on the way.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.topology import partition_of
from tests.support.servers import examples
from tests.support.world import Lives, a_join_unconfirmed, a_world
from tests.unit.worker.application.model import Model, Step

WEIGHTS = {
    "join": 6, "leave": 4, "publish": 5, "unpublish": 2, "finish": 1, "kill": 1, "post": 10, "lose": 1, "work": 9,
    "crash": 2, "create": 3, "delete": 1, "remove": 1, "again": 1, "report": 8, "serve": 12, "time": 4, "pass": 2,
    "broker": 1, "livekit": 1, "sweep": 1,
}  # fmt: skip
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]),
        st.integers(0, 7),
        st.integers(0, 7),
    ),
    min_size=30,
    max_size=90,
)
AFTER_THE_END = {"stt.stop", "ai.cancel", "tts.cancel", "transcript.added"}
"""Answers to who reports late, and last words."""
Messages = list[tuple[str, dict[str, Any]]]
"""What June said of one session, by `sequence`: types, without `june.` and `.v1`, and data."""


@given(steps=STEPS, lossy=st.booleans())
@settings(
    max_examples=examples(40),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
async def test_whatever_happens(steps: list[Step], lossy: bool) -> None:
    """The same runs each time: June agrees with LiveKit in the end, and what it said on the way is right."""
    await play(steps, lossy=lossy)


@given(steps=STEPS, lossy=st.booleans())
@settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
async def test_whatever_else_happens(steps: list[Step], lossy: bool) -> None:
    """The same for other runs each time."""
    await play(steps, lossy=lossy)


@pytest.mark.parametrize("fault", ["down", "silent"])
async def test_an_event_that_comes_again_says_first_what_was_not_confirmed(
    tmp_path: Path, fault: str
) -> None:
    """The broker took nothing, or did not say so: the event's copy publishes the same messages, and no new ones."""
    async with a_world(tmp_path) as world:
        bodies = await a_join_unconfirmed(world, fault)
        unconfirmed = list(world.publisher.messages)
        setattr(world.publisher, fault, False)
        await world.cases.room_events.handle(partition_of("tea"), bodies)
        said = world.publisher.messages[len(unconfirmed) :]
        assert [one.type.split(".")[2] for one in said] == ["created", "started", "joined"]
        assert unconfirmed == ([] if fault == "down" else said)


async def play(steps: list[Step], *, lossy: bool) -> None:
    with TemporaryDirectory() as folder:
        async with a_world(Path(folder)) as world:
            model = Model(world)
            for step in steps:
                await model.do(step)
                copies_are_equal(model)
                await world.known()
            await model.settle(lossy=lossy)
            agrees(await world.known(), world.real(), model)
            assert await model.rests()
            copies_are_equal(model)
            for messages in by_session(model).values():
                each_lives_once(messages)
                jobs_are_offered_in_order(messages)
                turns_complete_once(messages)
                words_count_once(messages)
                nothing_runs_after_the_end(messages)


def agrees(known: Lives, real: Lives, model: Model) -> None:
    """June has what LiveKit has. What it once told to be gone stays so, even when it was told so by mistake."""
    given_up = {
        _sid(data)
        for type_, data in (said for messages in by_session(model).values() for said in messages)
        if type_ in {"participant.left", "track.unpublished"} and data["room_sid"] in model.revived
    }
    assert known.rooms == real.rooms
    assert known.people <= real.people
    assert real.people - known.people <= given_up | model.bots_in(model.revived)
    assert known.tracks <= real.tracks
    assert real.tracks - known.tracks <= given_up | model.tracks_of(real.people - known.people)
    assert known.voices <= real.voices & known.tracks
    assert real.voices & known.tracks <= known.voices | model.completed


def _sid(data: dict[str, Any]) -> str:
    """Of the track, or else of the participant, that an event is about."""
    about: dict[str, str] = data["track"] if "track" in data else data["participant"]
    return about["sid"]


def copies_are_equal(model: Model) -> None:
    """An id has one content, a sequence number one id; they rise, as long as the broker took what it was given."""
    bodies: dict[str, bytes] = {}
    numbers: dict[tuple[str | None, str], str] = {}
    last: dict[str | None, str] = defaultdict(str)
    for message in model.told:
        assert bodies.setdefault(message.message_id, message.body) == message.body
        sequence = json.loads(message.body)["sequence"]
        assert numbers.setdefault((message.session_id, sequence), message.message_id) == message.message_id
        assert model.troubled or sequence > last[message.session_id]
        last[message.session_id] = sequence


def by_session(model: Model) -> dict[str, Messages]:
    """What June said, once each, in the order of `sequence`, which has no gap."""
    said: dict[str, dict[int, tuple[str, dict[str, Any]]]] = defaultdict(dict)
    for message in model.told:
        envelope = json.loads(message.body)
        type_ = message.type.removeprefix("june.").removesuffix(".v1")
        said[str(message.session_id)][int(envelope["sequence"])] = (type_, envelope["data"])
    for numbered in said.values():
        assert sorted(numbered) == list(range(1, len(numbered) + 1))
    return {session: [numbered[n] for n in sorted(numbered)] for session, numbered in said.items()}


def each_lives_once(messages: Messages) -> None:
    """A session is created, started and ended once; a sid joins and leaves once, its tracks within."""
    types = [type_ for type_, _ in messages]
    assert types[0] == "session.created"
    assert all(types.count(f"session.{what}") <= 1 for what in ("created", "started", "ended"))
    here: set[tuple[str, str]] = set()
    seen: set[tuple[str, str]] = set()
    for type_, data in messages:
        if type_ in {"participant.joined", "track.published"}:
            sid = _sid(data)
            entity = (data["room_sid"], sid)
            assert entity not in seen
            assert not data["participant"]["identity"].startswith("june-")
            assert type_ == "participant.joined" or (data["room_sid"], data["participant"]["sid"]) in here
            here.add(entity)
            seen.add(entity)
        elif type_ in {"participant.left", "track.unpublished"}:
            here.remove((data["room_sid"], _sid(data)))
        elif type_ == "stt.start":
            assert {(data["room_sid"], data[who]["sid"]) for who in ("participant", "track")} <= here
    assert "session.ended" not in types or not here


def jobs_are_offered_in_order(messages: Messages) -> None:
    """Attempts rise by one; a voice has one job; one that ended is offered no more; each change is told once."""
    attempts: dict[str, int] = defaultdict(int)
    of_track: dict[tuple[str, str], str] = {}
    ended: set[str] = set()
    told: set[tuple[str, str, int]] = set()
    for type_, data in messages:
        if type_ == "stt.start":
            assert data["job_id"] not in ended
            assert data["attempt"] == attempts[data["job_id"]] + 1
            attempts[data["job_id"]] += 1
            voice = (data["room_sid"], data["track"]["sid"])
            assert of_track.setdefault(voice, data["job_id"]) == data["job_id"]
        elif type_ == "job.changed":
            change = (data["job_id"], data["state"], data["attempt"])
            assert change not in told
            assert data["job_id"] not in ended
            told.add(change)
            if data["state"] == "ended":
                ended.add(data["job_id"])


def turns_complete_once(messages: Messages) -> None:
    """One turn at a time; each is completed once; its parts are spoken in order, each given at most twice."""
    making: str | None = None
    over: set[str] = set()
    parts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for type_, data in messages:
        if type_ == "ai.turn":
            assert data["turn_id"] not in over
            assert (making, data["attempt"]) in {(None, 1), (data["turn_id"], 2)}
            making = data["turn_id"]
        elif type_ == "tts.speak":
            assert data["turn_id"] == making
            parts[data["turn_id"]].append((data["part"], data["attempt"]))
        elif type_ == "turn.completed":
            assert data["turn_id"] == making
            over.add(data["turn_id"])
            making = None
    assert making is None
    for given_ in parts.values():
        assert given_ == sorted(set(given_))
        assert {attempt for _, attempt in given_} <= {1, 2}


def words_count_once(messages: Messages) -> None:
    """An utterance is told once, whoever repeats it."""
    said = [data["utterance_id"] for type_, data in messages if type_ == "transcript.added"]
    assert len(said) == len(set(said))


def nothing_runs_after_the_end(messages: Messages) -> None:
    """After `session.ended` there are answers to late reports, and last words."""
    types = [type_ for type_, _ in messages]
    if "session.ended" in types:
        assert set(types[types.index("session.ended") + 1 :]) <= AFTER_THE_END
