"""Room events as nobody wishes them, from outside: in any order, doubled, lost, with hostile names, unreadable.

Whatever the webhooks have, what comes out tells one story for each sid, and nothing is held up.
"""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections import Counter
from typing import Any

import jwt
import pytest

from tests.e2e.client import Client, Inbox, types
from tests.e2e.installation import Installation
from tests.e2e.names import (
    CREATED,
    ENDED,
    JOINED,
    LEFT,
    PUBLISHED,
    START,
    STARTED,
    STOP,
    UNPUBLISHED,
    room_name,
    unique,
)
from tests.e2e.stories import (
    consistent,
    conversation,
    only,
    over,
    partition,
    post_side_by_side,
    told,
)
from tests.e2e.webhooks import RoomStory, microphone, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Any order, copies and losses.


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_with_copies_tells_one_story(june: Installation, inbox: Inbox, seed: int) -> None:
    """Events permuted and doubled: each sid once and in order, every job stopped, everything over."""
    dice = random.Random(seed)
    stories = [RoomStory() for _ in range(16)]
    plans, voices = [], {}
    for number, story in enumerate(stories):
        bodies, voices[story.name] = conversation(story, dice)
        # An early end is the end of all: in half of the rooms it is told last, so that jobs start.
        last = [bodies.pop()] if number % 2 else []
        copies = dice.choices(bodies, k=len(bodies) // 2)
        plans.append(dice.sample(bodies + copies, k=len(bodies) + len(copies)) + last)
    await post_side_by_side(june, plans)
    started = 0
    for name, messages in (await told(june, inbox, *voices)).items():
        consistent(messages)
        over(messages)
        assert {one.data["track"]["sid"] for one in messages if one.type == START} <= voices[name]
        started += types(messages).count(START)
    assert started


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_before_the_end_starts_every_voice_that_lives(
    june: Installation, inbox: Inbox, seed: int
) -> None:
    """Joins and tracks permuted and doubled, no end yet: one job runs for each voice, everybody is there."""
    dice = random.Random(100 + seed)
    stories = [RoomStory() for _ in range(16)]
    plans, voices = [], {}
    ends = {"room_finished", "participant_left", "track_unpublished"}
    for story in stories:
        bodies, voices[story.name] = conversation(story, dice)
        lasting = [body for body in bodies if body["event"] not in ends]
        plans.append(dice.sample(lasting * 2, k=len(lasting) * 2))
    await post_side_by_side(june, plans)
    for (name, messages), plan in zip((await told(june, inbox, *voices)).items(), plans, strict=True):
        consistent(messages)
        started = Counter(one.data["track"]["sid"] for one in messages if one.type == START)
        assert started == Counter(voices[name])
        joined = Counter(one.data["participant"]["sid"] for one in messages if one.type == JOINED)
        assert joined == Counter({body["participant"]["sid"] for body in plan if "joinedAt" in str(body)})
        assert not [one for one in messages if one.type in {STOP, LEFT, UNPUBLISHED, ENDED}]


@pytest.mark.parametrize(
    "lost", ["room_", "participant_", "track_", "participant_joined", "unpublished", "left"]
)
async def test_lost_events_leave_nothing_running(june: Installation, inbox: Inbox, lost: str) -> None:
    """Whole kinds of events never come, or any at random: after the room's end nothing is open."""
    dice = random.Random(lost)
    stories = [RoomStory() for _ in range(8)]
    plans = []
    for story in stories:
        bodies, _ = conversation(story, dice)
        kept = [body for body in bodies if lost not in body["event"] and dice.random() > 0.1]
        plans.append([*dice.sample(kept, k=len(kept)), story.finished()])
    await post_side_by_side(june, plans)
    found = await told(june, inbox, *(story.name for story in stories))
    for messages in found.values():
        consistent(messages)
        over(messages)
    assert any(found.values())


async def test_every_order_of_a_short_story(june: Installation, inbox: Inbox) -> None:
    """All 120 orders of join, publish, unpublish, leave and finish: one story each, and nothing open."""
    stories, plans = [], []
    for order in itertools.permutations(range(5)):
        story, ann, mic = RoomStory(), person("ann"), microphone()
        steps = [story.joined(ann), story.published(ann, mic), story.unpublished(ann, mic)]
        steps += [story.left(ann), story.finished()]
        stories.append(story)
        plans.append([steps[index] for index in order])
    await post_side_by_side(june, plans)
    found = await told(june, inbox, *(story.name for story in stories))
    for messages in found.values():
        consistent(messages)
        over(messages)
    in_order = types(found[stories[0].name])
    assert [type_ for type_ in in_order if type_ in {JOINED, PUBLISHED, START, STOP, UNPUBLISHED, LEFT}] == [
        JOINED,
        PUBLISHED,
        START,
        UNPUBLISHED,
        STOP,
        LEFT,
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_rooms_of_one_name_in_any_order(june: Installation, inbox: Inbox, seed: int) -> None:
    """Three rooms follow one another under a name, and all that happens in them is told mixed up and doubled: each
    session of that name tells one story, one at a time, and all of it is over when the rooms are."""
    dice = random.Random(200 + seed)
    names, plans = [room_name() for _ in range(12)], []
    for name in names:
        rooms = [RoomStory(name) for _ in range(3)]
        bodies = [body for room in rooms for body in conversation(room, dice)[0] if dice.random() > 0.1]
        mixed = dice.sample(bodies * 2, k=len(bodies) * 2)
        plans.append([*mixed, *(room.finished() for room in rooms)])
    await post_side_by_side(june, plans)
    for messages in (await told(june, inbox, *names)).values():
        consistent(messages)
        subjects = [one.envelope["subject"] for one in messages]
        for subject in dict.fromkeys(subjects):
            over([one for one in messages if one.envelope["subject"] == subject])
        lives = [one.type for one in messages if one.type in {CREATED, ENDED}]
        assert lives == [CREATED, ENDED] * (len(lives) // 2)


async def test_a_track_waits_for_its_participant(june: Installation, inbox: Inbox) -> None:
    """A track event carries no kind: the job starts when the participant is known, and not for an agent."""
    story, ann, bot = RoomStory(), person("ann"), person("bot", kind="AGENT")
    mic, other = microphone(), microphone()
    await june.webhook.all(story.published(ann, mic), story.published(bot, other))
    before = (await told(june, inbox, story.name))[story.name]
    assert types(before) == [CREATED]
    await june.webhook.all(story.joined(bot), story.joined(ann))
    messages = (await told(june, inbox, story.name))[story.name]
    assert [one.data["track"]["sid"] for one in messages if one.type == START] == [mic["sid"]]
    consistent(messages)


async def test_what_is_first_seen_leaving_is_gone(june: Installation, inbox: Inbox) -> None:
    """A sid first seen leaving, unpublished or finished starts nothing, makes no event, and never comes back."""
    story, ann, mic = RoomStory(), person("ann"), microphone()
    ended = RoomStory()
    await june.webhook.all(
        story.started(), story.left(ann), story.joined(ann), story.published(ann, microphone())
    )
    bob = person("bob")
    await june.webhook.all(story.unpublished(bob, mic), story.joined(bob), story.published(bob, mic))
    await june.webhook.all(ended.finished(), ended.started(), ended.joined(person("ann")))
    messages = await told(june, inbox, story.name, ended.name)
    assert types(messages[story.name]) == [CREATED, STARTED, JOINED]
    assert messages[story.name][-1].data["participant"]["identity"] == "bob"
    assert messages[ended.name] == []


async def test_an_identity_comes_back_under_a_new_sid(june: Installation, inbox: Inbox) -> None:
    """The late leave of the old sid closes the old one alone."""
    story = RoomStory()
    old, new, first, second = person("ann"), person("ann"), microphone(), microphone()
    await june.webhook.all(story.started(), story.joined(old), story.published(old, first))
    await june.webhook.all(story.joined(new), story.published(new, second), story.left(old))
    messages = (await told(june, inbox, story.name))[story.name]
    assert [one.data["participant"]["sid"] for one in messages if one.type == LEFT] == [old["sid"]]
    assert [one.data["track"]["sid"] for one in messages if one.type == START] == [
        first["sid"],
        second["sid"],
    ]
    assert [one.data["track_sid"] for one in messages if one.type == STOP] == [first["sid"]]
    consistent(messages)


async def test_a_connection_that_came_to_nothing_is_nobody(june: Installation, inbox: Inbox) -> None:
    """`participant_connection_aborted` of an unknown sid makes nobody join; of a known one it is a leave."""
    story, ann, bob = RoomStory(), person("ann"), person("bob")
    await june.webhook.all(story.started(), story.aborted(ann), story.joined(bob), story.aborted(bob))
    messages = (await told(june, inbox, story.name))[story.name]
    assert types(messages) == [CREATED, STARTED, JOINED, LEFT]
    consistent(messages)


async def test_sids_may_repeat_over_rooms(june: Installation, inbox: Inbox) -> None:
    """The same participant and track sids in two rooms are two people and two voices."""
    first, second, ann, mic = RoomStory(), RoomStory(), person("ann"), microphone()
    for story in (first, second):
        await june.webhook.all(story.started(), story.joined(ann), story.published(ann, mic))
    await june.webhook(first.left(ann))
    messages = await told(june, inbox, first.name, second.name)
    starts = [only(messages[story.name], START).data["job_id"] for story in (first, second)]
    assert starts[0] != starts[1]
    assert only(messages[first.name], STOP).data["job_id"] == starts[0]
    assert STOP not in types(messages[second.name])


async def test_a_room_may_open_again_under_its_name(june: Installation, inbox: Inbox) -> None:
    """Under a new sid it is a session of its own; late events of the old one change nothing."""
    name = room_name()
    old, new, ann, bob = RoomStory(name), RoomStory(name), person("ann"), person("bob")
    await june.webhook.all(old.started(), old.joined(ann), old.finished(), new.started(), new.joined(bob))
    await june.webhook.all(old.joined(person("late")), old.finished(), old.left(ann))
    messages = (await told(june, inbox, name))[name]
    subjects = list(dict.fromkeys(one.envelope["subject"] for one in messages))
    assert len(subjects) == 2
    ended = [one.envelope["subject"] for one in messages if one.type == ENDED]
    assert ended == subjects[:1]
    consistent(messages)


# Names and texts that are hard on software.

HOSTILE = [
    "emoji 🙂👩‍👩‍👧",
    "\u202eRTL\u2066 مرحبا",
    "control \x01\x1b[31m\t\n",
    "*.#.p03.$(rm)'\"; DROP TABLE sessions;--",
    "ü" * 128,
    "../../etc/passwd%00",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_names_come_through_as_they_are(june: Installation, inbox: Inbox, text: str) -> None:
    """Room names, identities, names and metadata are told back to the byte, up to LiveKit's limits."""
    name = text if len(text.encode()) > 200 else f"{text} {uuid.uuid4().hex[:8]}"
    story, who = RoomStory(name), person(text, name=text, metadata=text * 100)
    mic = microphone(name=text)
    await june.webhook.all(story.started(), story.joined(who), story.published(who, mic), story.finished())
    messages = (await told(june, inbox, name))[name]
    joined, start = only(messages, JOINED), only(messages, START)
    assert joined.data["room_name"] == name
    shown = joined.data["participant"]
    assert (shown["identity"], shown["name"], shown["metadata"]) == (text, text, text * 100)
    assert only(messages, PUBLISHED).data["track"]["name"] == text
    assert jwt.decode(start.data["token"], options={"verify_signature": False})["video"]["room"] == name
    assert start.data["report_to"]["routing_key"] == f"p{partition(name):02d}.report"
    consistent(messages)


async def test_the_largest_event_comes_through(june: Installation, inbox: Inbox) -> None:
    """A participant's metadata may fill what a webhook may have, and is told whole."""
    story, ann = RoomStory(), person("ann", metadata="🙂" * 260_000)
    await june.webhook.all(story.started(), story.joined(ann), story.left(ann), story.finished())
    messages = (await told(june, inbox, story.name))[story.name]
    for type_ in (JOINED, LEFT):
        assert only(messages, type_).data["participant"]["metadata"] == ann["metadata"]
    consistent(messages)


# What June has no use for, and what cannot be read.


async def test_unknown_event_names_are_taken(june: Installation, client: Client, inbox: Inbox) -> None:
    """They are 200, change nothing, adopt nothing, and are no dead letters."""
    dead = await client.drain("june.dead.v1")
    story = RoomStory()
    for event in ("egress_started", "ingress_ended", "agent_job_started", "from_the_future", "Ü*#." * 20):
        assert await june.webhook(story.other(event)) == 200
    await june.webhook(
        {"event": "egress_started", "id": "EV_x", "egressInfo": {"egressId": "EG", "roomName": story.name}}
    )
    assert (await told(june, inbox, story.name))[story.name] == []
    mark = unique("mark").encode()
    assert await june.webhook(mark) == 200
    await dead.first(lambda one: one.body == mark)
    assert not [one for one in dead.all if story.name in one.body.decode(errors="replace")]


UNREADABLE = [
    b"no json",
    b"",
    b"null",
    b"[1]",
    b'{"event": "room_started"}',
    b'{"id": "EV_1"}',
    b'{"id": 5, "event": "room_started"}',
    b'{"id": "EV_1", "event": ""}',
    json.dumps({"id": "E" * 256, "event": "room_started"}).encode(),
    json.dumps({"id": "EV_1", "event": "e" * 256}).encode(),
    b'{"id": "EV_1", "event": "room_started", "room": "\xff"}',
]


async def test_signed_but_unreadable_is_dead_lettered(june: Installation, client: Client) -> None:
    """200, and the bytes are in the dead letters, without an origin."""
    dead = await client.drain("june.dead.v1")
    for body in UNREADABLE:
        assert await june.webhook(body) == 200
    for body in UNREADABLE:
        letter = await dead.first(lambda one, body=body: one.body == body)  # type: ignore[misc]
        headers = letter.message.headers
        assert (headers["origin_exchange"], headers["origin_routing_key"]) == ("", "")
        assert headers["reason"]
        assert headers["error"]
        assert type(headers["attempts"]) is int
        assert type(headers["failed_at"]) is int


WRONG_SHAPES: list[dict[str, Any]] = [
    {"room": None},
    {"room": []},
    {"room": {"name": 5, "sid": "RM_1"}},
    {"room": {"name": "x"}},
    {"room": {"sid": "RM_1"}},
    {"participant": "ann"},
    {"participant": {}},
    {"participant": {"sid": "PA_1", "identity": "ann", "kind": "NEVER_SEEN"}},
    {"participant": {"sid": "PA_1", "identity": "ann", "kind": 7}},
    {"participant": {"sid": "PA\u0000", "identity": "a\u0000b", "name": "\u0000"}},
    {"createdAt": "not a time"},
    {"createdAt": "99999999999999999999"},
    {"createdAt": "-5"},
]


async def test_wrong_shapes_hold_nothing_up(june: Installation, inbox: Inbox) -> None:
    """An event whose fields are not what LiveKit sends is taken, and the next ones of the room are not delayed."""
    stories = []
    for change in WRONG_SHAPES:
        story = RoomStory()
        assert await june.webhook(story.joined(person("ann")) | change) == 200
        await june.webhook.all(story.started(), story.joined(person("bob")), story.finished())
        stories.append(story)
    for messages in (await told(june, inbox, *(story.name for story in stories))).values():
        consistent(messages)
        over(messages)
        assert "bob" in [one.data["participant"]["identity"] for one in messages if one.type == JOINED]


REPORTS = [
    b'{"specversion": "1.0"}',
    json.dumps(
        {"specversion": "1.0", "id": "1", "source": "x", "type": "june.stt.status.v1", "data": {"job_id": 5}}
    ).encode(),
    json.dumps(
        {"specversion": "1.0", "id": "2", "source": "x", "type": "june.no.report.v1", "data": {}}
    ).encode(),
    b"\xff",
]


async def test_unreadable_reports_are_dead_lettered(june: Installation, client: Client, inbox: Inbox) -> None:
    """With their origin, and the partition goes on; reports that name nothing known are dropped."""
    dead = await client.drain("june.dead.v1")
    story = RoomStory()
    key = f"p{partition(story.name):02d}.report"
    for body in REPORTS:
        await client.publish("june.rooms.v1", key, body)
    nothing = {"job_id": "no such", "attempt": 1, "state": "running"}
    envelope = {"specversion": "1.0", "id": "3", "source": "x", "type": "june.stt.status.v1", "data": nothing}
    await client.publish("june.rooms.v1", key, json.dumps(envelope).encode())
    await told(june, inbox, story.name)
    for body in REPORTS:
        letter = await dead.first(lambda one, body=body: one.body == body)  # type: ignore[misc]
        headers = letter.message.headers
        assert (headers["origin_exchange"], headers["origin_routing_key"]) == ("june.rooms.v1", key)
