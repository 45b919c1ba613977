"""Room events from outside: signed webhooks in, by the real ingress; what June publishes out (contract.md §§3 to 5).

Whatever order, copies and losses the webhooks have, what comes out tells one story for each sid.
"""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.e2e.client import Client, Inbox, types
from tests.e2e.installation import JUNE_SENDS, Install, Installation
from tests.e2e.stories import (
    CREATED,
    ENDED,
    JOB,
    JOINED,
    LEFT,
    PUBLISHED,
    START,
    STARTED,
    STOP,
    UNPUBLISHED,
    consistent,
    conversation,
    is_time,
    only,
    over,
    partition,
    post_side_by_side,
    room_name,
    told,
)
from tests.e2e.webhooks import RoomStory, microphone, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

# One conversation, as it should be.


async def test_one_conversation_in_order(june: Installation, inbox: Inbox) -> None:
    """A person joins, speaks, stops and leaves: each step is told once, in order, with its fields."""
    story, ann, mic = RoomStory(room_name()), person("ann", name="Ann", metadata="{}"), microphone()
    await june.webhook.all(story.started(), story.joined(ann), story.published(ann, mic))
    await june.webhook.all(story.unpublished(ann, mic), story.left(ann), story.finished())
    messages = (await told(june, inbox, story.name))[story.name]
    main = [one for one in messages if one.type != JOB]
    assert types(main) == [CREATED, STARTED, JOINED, PUBLISHED, START, UNPUBLISHED, STOP, LEFT, ENDED]
    by_type = {one.type: one for one in main}
    session = by_type[ENDED].data["session"]
    assert (session["origin"], session["user_id"], session["status"]) == ("livekit", None, "ended")
    assert session["end_reason"] == "room_finished"
    assert session["livekit_room_sid"] == story.sid
    about = {"session_id": session["session_id"], "room_name": story.name, "room_sid": story.sid}
    shown = {"sid": ann["sid"], "identity": "ann", "name": "Ann", "kind": "standard", "metadata": "{}"}
    for type_ in (JOINED, LEFT):
        data = dict(by_type[type_].data)
        is_time(data.pop("at"))
        assert data == about | {"participant": shown}
    track = {
        "sid": mic["sid"],
        "type": "audio",
        "source": "microphone",
        "name": "mic",
        "mime_type": "audio/red",
    }
    for type_ in (PUBLISHED, UNPUBLISHED):
        data = dict(by_type[type_].data)
        is_time(data.pop("at"))
        assert data == about | {"participant": {"sid": ann["sid"], "identity": "ann"}, "track": track}
    consistent(messages)


async def test_an_stt_job_has_every_field(june: Installation, inbox: Inbox) -> None:
    """What a service needs to hear the person: its token is for this room, hidden, subscribe only, minutes long."""
    story, ann, mic = RoomStory(room_name()), person("ann", name="Ann"), microphone()
    await june.webhook.all(story.started(), story.joined(ann), story.published(ann, mic), story.finished())
    messages = (await told(june, inbox, story.name))[story.name]
    start, stop = only(messages, START), only(messages, STOP)
    data = dict(start.data)
    token = jwt.decode(data.pop("token"), june.livekit.api_secret, algorithms=["HS256"])
    is_time(data.pop("expires_at"))
    job_id = data.pop("job_id")
    assert data == {
        "attempt": 1,
        "session_id": start.envelope["subject"],
        "room_name": story.name,
        "room_sid": story.sid,
        "participant": {"sid": ann["sid"], "identity": "ann", "name": "Ann", "kind": "standard"},
        "track": {"sid": mic["sid"], "source": "microphone", "mime_type": "audio/red"},
        "language": "en",
        "livekit_url": "wss://livekit.example.org",
        "lease_s": 600,
        "report_to": {
            "exchange": "june.rooms.v1",
            "routing_key": f"p{partition(story.name):02d}.report",
        },
    }
    assert token["video"]["room"] == story.name
    assert {name for name, value in token["video"].items() if value is True} == {
        "roomJoin",
        "canSubscribe",
        "hidden",
    }
    assert token["kind"] == "agent"
    assert token["sub"].startswith("june-stt-")
    assert 0 < token["exp"] - token["nbf"] <= 600
    assert stop.data["job_id"] == job_id
    assert stop.data["track_sid"] == mic["sid"]
    assert stop.data["reason"] == "room_finished"
    assert (stop.data["attempt"], stop.data["instance"]) in {(None, None), (1, None)}
    assert start.exchange == stop.exchange == "june.pipeline"


async def test_jobs_wait_in_their_queue(june: Installation, client: Client) -> None:
    """A job is in `june.stt.jobs.v1` for whoever comes later."""
    jobs_before = await client.depth("june.stt.jobs.v1")
    story, ann = RoomStory(room_name()), person("ann")
    inbox = await client.subscribe(*JUNE_SENDS)
    await june.webhook.all(story.started(), story.joined(ann), story.published(ann, microphone()))
    await told(june, inbox, story.name)
    jobs = await client.drain("june.stt.jobs.v1")
    await jobs.first(lambda one: one.data["room_name"] == story.name)
    assert len(jobs.all) > jobs_before


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("track_unpublished", "unpublished"),
        ("participant_left", "left"),
        ("room_finished", "finished"),
        ("session_deleted", "deleted"),
    ],
)
async def test_a_stop_says_why(
    june: Installation, client: Client, inbox: Inbox, reason: str, how: str
) -> None:
    """Each end of a voice has its reason, and stops the job once, whatever comes after."""
    story, ann, mic = RoomStory(room_name()), person("ann"), microphone()
    await june.webhook.all(story.started(), story.joined(ann), story.published(ann, mic))
    begun = (await told(june, inbox, story.name))[story.name]
    match how:
        case "unpublished":
            await june.webhook(story.unpublished(ann, mic))
        case "left":
            await june.webhook(story.left(ann))
        case "finished":
            await june.webhook(story.finished())
        case _:
            await client.ok("june.session.delete.v1", {"session_id": begun[0].envelope["subject"]})
    await june.webhook.all(story.unpublished(ann, mic), story.left(ann), story.finished())
    messages = (await told(june, inbox, story.name))[story.name]
    assert only(messages, STOP).data["reason"] == reason
    consistent(messages)


# Which tracks are voices.

HUMAN = [None, "SIP", "CONNECTOR"]
OTHERS = ["AGENT", "EGRESS", "INGRESS", "BRIDGE"]


async def test_one_job_for_each_human_voice(june: Installation, inbox: Inbox) -> None:
    """Audio of people, screen-share audio excepted; nothing of agents, egress, ingress and bridges."""
    story = RoomStory(room_name())
    await june.webhook(story.started())
    voices, all_tracks = set(), set()
    for kind in [*HUMAN, *OTHERS]:
        who = person(f"one {kind}", kind=kind)
        tracks = {
            "mic": microphone(),
            "unknown source": {key: value for key, value in microphone().items() if key != "source"},
            "muted": microphone(muted=True),
            "screen": microphone(source="SCREEN_SHARE_AUDIO"),
            "camera": microphone(type="VIDEO", source="CAMERA", mimeType="video/VP8"),
            "data": microphone(type="DATA", source="UNKNOWN"),
        }
        await june.webhook(story.joined(who))
        await june.webhook.all(*(story.published(who, track) for track in tracks.values()))
        all_tracks |= {track["sid"] for track in tracks.values()}
        if kind in HUMAN:
            voices |= {tracks[name]["sid"] for name in ("mic", "unknown source", "muted")}
    messages = (await told(june, inbox, story.name))[story.name]
    starts = [one.data["track"]["sid"] for one in messages if one.type == START]
    assert Counter(starts) == Counter(voices)
    shown = {one.data["track"]["sid"]: one.data["track"] for one in messages if one.type == PUBLISHED}
    assert set(shown) == all_tracks
    assert {track["type"] for track in shown.values()} == {"audio", "video", "data"}
    assert {track["source"] for track in shown.values()} == {
        "microphone",
        "unknown",
        "screen_share_audio",
        "camera",
    }
    kinds = {one.data["participant"]["kind"] for one in messages if one.type == JOINED}
    assert kinds == {"standard", "sip", "connector", "agent", "egress", "ingress", "bridge"}
    consistent(messages)


async def test_own_bots_do_not_appear(june: Installation, inbox: Inbox) -> None:
    """Neither as participants nor by their tracks, nor do they start a session; people and agents of such names do."""
    story = RoomStory(room_name())
    bots = [person("june-stt-job_1", kind="AGENT"), person("june-tts-s-1", kind="AGENT")]
    human, agent = person("june-stt-human"), person("assistant", kind="AGENT")
    await june.webhook(story.started())
    for bot in bots:
        track = microphone()
        await june.webhook.all(
            story.published(bot, track), story.joined(bot), story.published(bot, microphone())
        )
        await june.webhook.all(story.unpublished(bot, track), story.left(bot))
    assert types((await told(june, inbox, story.name))[story.name]) == [CREATED]
    await june.webhook.all(story.joined(human), story.joined(agent))
    messages = (await told(june, inbox, story.name))[story.name]
    joined = [one.data["participant"]["identity"] for one in messages if one.type == JOINED]
    assert joined == ["june-stt-human", "assistant"]


async def test_stt_off_means_no_jobs(june: Installation, client: Client, inbox: Inbox) -> None:
    """A session that wants no STT has its events, and no job."""
    made = await client.ok("june.session.create.v1", {"user_id": "ann", "stt": {"enabled": False}})
    name = made["session"]["room_name"]
    june.livekit.join_by_token(made["access_token"])
    june.livekit.publish(name, "ann")
    await june.livekit.settled()
    messages = (await told(june, inbox, name))[name]
    assert Counter(types(messages)) == Counter([CREATED, STARTED, JOINED, PUBLISHED])


# Any order, copies and losses.


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_with_copies_tells_one_story(june: Installation, inbox: Inbox, seed: int) -> None:
    """Events permuted and doubled: each sid once and in order, every job stopped, everything over."""
    dice = random.Random(seed)
    stories = [RoomStory(room_name()) for _ in range(16)]
    plans, voices = [], {}
    for story in stories:
        bodies, voices[story.name] = conversation(story, dice)
        copies = dice.choices(bodies, k=len(bodies) // 2)
        plans.append(dice.sample(bodies + copies, k=len(bodies) + len(copies)))
    await post_side_by_side(june, plans)
    for name, messages in (await told(june, inbox, *voices)).items():
        consistent(messages)
        over(messages)
        assert {one.data["track"]["sid"] for one in messages if one.type == START} <= voices[name]


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_before_the_end_starts_every_voice_that_lives(
    june: Installation, inbox: Inbox, seed: int
) -> None:
    """Joins and tracks permuted and doubled, no end yet: one job runs for each voice, everybody is there."""
    dice = random.Random(100 + seed)
    stories = [RoomStory(room_name()) for _ in range(16)]
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
    stories = [RoomStory(room_name()) for _ in range(8)]
    plans = []
    for story in stories:
        bodies, _ = conversation(story, dice)
        kept = [body for body in bodies if lost not in body["event"] and dice.random() > 0.1]
        plans.append([*dice.sample(kept, k=len(kept)), story.finished()])
    await post_side_by_side(june, plans)
    for messages in (await told(june, inbox, *(story.name for story in stories))).values():
        consistent(messages)
        over(messages)


async def test_every_order_of_a_short_story(june: Installation, inbox: Inbox) -> None:
    """All 120 orders of join, publish, unpublish, leave and finish: one story each, and nothing open."""
    stories, plans = [], []
    for order in itertools.permutations(range(5)):
        story, ann, mic = RoomStory(room_name()), person("ann"), microphone()
        steps = [story.joined(ann), story.published(ann, mic), story.unpublished(ann, mic)]
        steps += [story.left(ann), story.finished()]
        stories.append(story)
        plans.append([steps[index] for index in order])
    await post_side_by_side(june, plans)
    for messages in (await told(june, inbox, *(story.name for story in stories))).values():
        consistent(messages)
        over(messages)


async def test_a_track_waits_for_its_participant(june: Installation, inbox: Inbox) -> None:
    """A track event carries no kind: the job starts when the participant is known, and not for an agent."""
    story, ann, bot = RoomStory(room_name()), person("ann"), person("bot", kind="AGENT")
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
    story, ann, mic = RoomStory(room_name()), person("ann"), microphone()
    ended = RoomStory(room_name())
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
    story = RoomStory(room_name())
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
    story, ann, bob = RoomStory(room_name()), person("ann"), person("bob")
    await june.webhook.all(story.started(), story.aborted(ann), story.joined(bob), story.aborted(bob))
    messages = (await told(june, inbox, story.name))[story.name]
    assert types(messages) == [CREATED, STARTED, JOINED, LEFT]
    consistent(messages)


async def test_sids_may_repeat_over_rooms(june: Installation, inbox: Inbox) -> None:
    """The same participant and track sids in two rooms are two people and two voices."""
    first, second, ann, mic = RoomStory(room_name()), RoomStory(room_name()), person("ann"), microphone()
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


# What June has no use for, and what cannot be read.


async def test_unknown_event_names_are_taken(june: Installation, client: Client, inbox: Inbox) -> None:
    """They are 200, change nothing, adopt nothing, and are no dead letters."""
    dead = await client.drain("june.dead.v1")
    story = RoomStory(room_name())
    for event in ("egress_started", "ingress_ended", "agent_job_started", "from_the_future", "Ü*#." * 20):
        assert await june.webhook(story.other(event)) == 200
    await june.webhook(
        {"event": "egress_started", "id": "EV_x", "egressInfo": {"egressId": "EG", "roomName": story.name}}
    )
    assert (await told(june, inbox, story.name))[story.name] == []
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
        story = RoomStory(room_name())
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
    story = RoomStory(room_name())
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


# Words.


async def test_a_final_transcript_is_told_and_asked(june: Installation, client: Client, inbox: Inbox) -> None:
    """A report of a job becomes one transcript event and one AI turn; copies and partials change nothing."""
    story, ann, mic = RoomStory(room_name()), person("ann", name="Ann"), microphone()
    await june.webhook.all(story.started(), story.joined(ann), story.published(ann, mic))
    start = only((await told(june, inbox, story.name))[story.name], START).data
    said = {"job_id": start["job_id"], "attempt": 1, "utterance_id": "u-1", "text": "hello 🙂", "new": 1}
    reports = [
        ("june.stt.status.v1", "r-1", {"job_id": start["job_id"], "attempt": 1, "state": "running"}),
        ("june.stt.transcript.v1", "r-2", said | {"text": "hel", "is_final": False}),
        ("june.stt.transcript.v1", "r-3", said | {"is_final": True, "start_ms": 10, "end_ms": 900}),
        ("june.stt.transcript.v1", "r-3", said | {"is_final": True, "start_ms": 10, "end_ms": 900}),
        ("june.stt.transcript.v1", "r-4", said | {"is_final": True, "text": "again"}),
    ]
    to = start["report_to"]
    for type_, report_id, data in reports:
        body = {"specversion": "1.0", "id": report_id, "source": story.name, "type": type_, "data": data}
        await client.publish(to["exchange"], to["routing_key"], json.dumps(body).encode())
    messages = (await told(june, inbox, story.name))[story.name]
    added, turn = only(messages, "june.transcript.added.v1"), only(messages, "june.ai.turn.v1")
    assert added.data == {
        "session_id": start["session_id"],
        "utterance_id": "u-1",
        "participant": {"sid": ann["sid"], "identity": "ann"},
        "text": "hello 🙂",
        "language": added.data["language"],
        "confidence": None,
        "start_ms": 10,
        "end_ms": 900,
    }
    assert added.message.correlation_id == "r-3"
    assert turn.data["text"] == "hello 🙂"
    assert turn.data["participant"] == {"sid": ann["sid"], "identity": "ann", "name": "Ann"}
    assert (turn.data["attempt"], turn.data["history"], turn.data["utterance_id"]) == (1, [], "u-1")


# The setting.


@pytest_asyncio.fixture(loop_scope="module")
async def strict(amqp_url: str, install: Install) -> AsyncIterator[Installation]:
    """An installation that adopts no room."""
    async with install(amqp_url, JUNE_ADOPT_ROOMS="false") as installation:
        yield installation


async def test_strange_rooms_are_left_alone(strict: Installation) -> None:
    """With JUNE_ADOPT_ROOMS=false events of unknown rooms make nothing, and those of June's own sessions go on."""
    async with Client(strict.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        story, ann = RoomStory(room_name()), person("ann")
        await strict.webhook.all(story.started(), story.joined(ann), story.published(ann, microphone()))
        made = await client.ok(
            "june.session.create.v1", {"user_id": "ann", "room_name": story.name + " ours"}
        )
        strict.livekit.join_by_token(made["access_token"])
        await inbox.first(lambda one: one.type == JOINED)
        await strict.webhook(story.finished())
        assert {one.envelope["partitionkey"] for one in inbox.all} == {story.name + " ours"}
        assert await client.depth("june.dead.v1") == 0
