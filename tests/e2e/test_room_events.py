"""Room events from outside: signed webhooks in, by the real ingress; what June publishes out (contract.md §§3 to 5).

Orders, copies, losses and what is hard to read: `tests/e2e/test_room_events_unruly.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.client import Client, Inbox, types
from tests.e2e.installation import JUNE_SENDS, Install, Installation
from tests.e2e.names import CREATED, ENDED, JOB, JOINED, LEFT, PUBLISHED, START, STARTED, STOP, UNPUBLISHED
from tests.e2e.shapes import moment
from tests.e2e.stories import (
    consistent,
    only,
    partition,
    told,
)
from tests.e2e.webhooks import RoomStory, microphone, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

# One conversation, as it should be.


async def test_one_conversation_in_order(june: Installation, inbox: Inbox) -> None:
    """A person joins, speaks, stops and leaves: each step is told once, in order, with its fields."""
    story, ann, mic = RoomStory(), person("ann", name="Ann", metadata="{}"), microphone()
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
        moment(data.pop("at"))
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
        moment(data.pop("at"))
        assert data == about | {"participant": {"sid": ann["sid"], "identity": "ann"}, "track": track}
    consistent(messages)


async def test_an_stt_job_has_every_field(june: Installation, inbox: Inbox) -> None:
    """What a service needs to hear the person: its token is for this room, hidden, subscribe only, minutes long."""
    story, ann, mic = RoomStory(), person("ann", name="Ann"), microphone()
    await june.webhook.all(story.started(), story.joined(ann), story.published(ann, mic), story.finished())
    messages = (await told(june, inbox, story.name))[story.name]
    start, stop = only(messages, START), only(messages, STOP)
    data = dict(start.data)
    token = june.claims(data.pop("token"))
    moment(data.pop("expires_at"))
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
    story, ann = RoomStory(), person("ann")
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
    story, ann, mic = RoomStory(), person("ann"), microphone()
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
    story = RoomStory()
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
    story = RoomStory()
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


# Words.


async def test_a_final_transcript_is_told_and_asked(june: Installation, client: Client, inbox: Inbox) -> None:
    """A report of a job becomes one transcript event and one AI turn; copies and partials change nothing."""
    story, ann, mic = RoomStory(), person("ann", name="Ann"), microphone()
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
        story, ann = RoomStory(), person("ann")
        await strict.webhook.all(story.started(), story.joined(ann), story.published(ann, microphone()))
        made = await client.ok(
            "june.session.create.v1", {"user_id": "ann", "room_name": story.name + " ours"}
        )
        strict.livekit.join_by_token(made["access_token"])
        await inbox.first(lambda one: one.type == JOINED)
        await strict.webhook(story.finished())
        assert {one.envelope["partitionkey"] for one in inbox.all} == {story.name + " ours"}
        assert await client.depth("june.dead.v1") == 0
