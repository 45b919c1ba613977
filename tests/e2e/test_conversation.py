"""The main job, end to end: real servers, real audio, each part a process, and clients that know the contract alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise

import pytest

from deploy.servers import Progress
from examples.service import Data
from examples.stage import set_up
from examples.stt_service import AUDIBLE_RMS, SENTENCE
from tests.e2e.shapes import GUEST_ANSWER, SESSION, SESSION_ANSWER, differences, mirrors
from tests.e2e.told import Told, claims, conversation

pytestmark = pytest.mark.livekit


@pytest.fixture(scope="module")
def told(
    module_amqp_url: str, tmp_path_factory: pytest.TempPathFactory, progress: Progress
) -> Iterator[Told]:
    """Played once for each RabbitMQ; the tests look at what was seen."""
    with set_up(module_amqp_url, tmp_path_factory.mktemp("stage"), progress=progress):
        yield asyncio.run(conversation(module_amqp_url))


def test_the_answer_has_a_session_and_a_token_for_its_room_alone(told: Told) -> None:
    """A backend gets what it needs to let a person in, and nothing that lets anybody in elsewhere."""
    answer = told.created
    assert set(answer) == SESSION_ANSWER
    session = answer["session"]
    assert set(session) == SESSION
    assert (session["user_id"], session["status"], session["origin"]) == ("ann", "created", "june")
    assert session["metadata"] == {"plan": "é"}
    token = claims(answer["access_token"])
    assert (token["sub"], token["name"]) == ("ann", "Ann")
    assert token["video"] == {
        "room": session["room_name"],
        "roomJoin": True,
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
    }
    assert token["exp"] - token["nbf"] == 900


def test_asking_twice_makes_one_session(told: Told) -> None:
    """The same command again has the same result, and a token that works."""
    assert told.created_again["session"] == told.created["session"]
    assert told.created_again["access_token"]
    assert len(told.of("june.session.created.v1")) == 1


def test_every_message_of_june_is_as_the_contract_says(told: Told) -> None:
    """The envelope and the data have the fields of the contract, all of them and no other."""
    assert [difference for one in told.from_june for difference in differences(one.body)] == []


def test_amqp_mirrors_the_envelope(told: Told) -> None:
    """Routing key and properties say what the body says; the messages are persistent."""
    for one in told.from_june:
        mirrors(one.properties, one.body)
        assert one.routing_key == one.body["type"]
        assert one.properties.correlation_id
        assert (one.body["source"], one.body["specversion"]) == ("june", "1.0")
        assert (one.body["subject"], one.body["partitionkey"]) == (
            told.session_id,
            told.created["session"]["room_name"],
        )


def test_messages_of_a_session_are_numbered_and_sent_once(told: Told) -> None:
    """Each sequence number is there once, in twenty digits; the session's end has the last of its events'."""
    sequences = [one.body["sequence"] for one in told.from_june]
    assert all(len(sequence) == 20 and sequence.isdecimal() for sequence in sequences)
    assert len(set(sequences)) == len(sequences) == len({one.body["id"] for one in told.from_june})
    events = [one for one in told.from_june if one.exchange == "june.events"]
    assert max(events, key=lambda one: str(one.body["sequence"])).type == "june.session.ended.v1"


def test_the_session_is_created_active_and_ended(told: Told) -> None:
    """Each state is told once, and the end says why."""
    states = [one for one in told.seen if one.type.startswith("june.session.")]
    sessions = [one.data["session"] for one in states]
    assert [session["status"] for session in sessions] == ["created", "active", "ended"]
    assert sessions[-1]["end_reason"] == "room_finished"
    assert sessions[0]["livekit_room_sid"] == sessions[-1]["livekit_room_sid"]
    times = [sessions[-1][name] for name in ("created_at", "started_at", "ended_at")]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert told.after_the_end["session"] == sessions[-1]
    assert told.after_the_end["access_token"] is told.after_the_end["token_expires_at"] is None


def test_people_join_once_and_leave_once_and_bots_never(told: Told) -> None:
    """Events tell of the two people, though LiveKit's webhooks tell of June's bots as well."""
    for type_ in ("june.participant.joined.v1", "june.participant.left.v1"):
        people = {
            one.data["participant"]["identity"]: one.data["participant"]["sid"] for one in told.of(type_)
        }
        assert people == told.sids
        assert len(told.of(type_)) == 2
    for type_ in ("june.track.published.v1", "june.track.unpublished.v1"):
        assert {one.data["participant"]["identity"]: one.data["track"]["sid"] for one in told.of(type_)} == (
            told.tracks
        )
        assert len(told.of(type_)) == 2
    bots = {
        one.body["participant"]["identity"].rpartition("-")[0]
        for one in told.of("livekit.participant_joined")
        if one.body["participant"].get("kind") == "AGENT"
    }
    assert bots == {"june-stt", "june-tts"}
    assert any(
        one.body["participant"]["identity"].startswith("june-tts-")
        for one in told.of("livekit.track_published")
    )


def test_each_human_voice_gets_one_job_of_its_own(told: Told) -> None:
    """The owner and the guest are listened to by one job each; the answer's own voice by none."""
    jobs = [one.data for one in told.of("june.stt.start.v1")]
    assert {job["participant"]["identity"]: job["track"]["sid"] for job in jobs} == told.tracks
    assert len(jobs) == len({job["job_id"] for job in jobs}) == 2
    for job in jobs:
        assert (job["attempt"], job["language"], job["lease_s"]) == (1, "en", 30)
        assert job["participant"]["sid"] == told.sids[job["participant"]["identity"]]
        assert (job["participant"]["kind"], job["track"]["source"]) == ("standard", "microphone")
        assert job["room_name"] == told.created["session"]["room_name"]


def test_the_token_of_a_job_can_listen_unseen_and_nothing_else(told: Told) -> None:
    """Kind agent, hidden, subscribe only, this room, minutes."""
    for one in told.of("june.stt.start.v1"):
        token = claims(one.data["token"])
        assert token["kind"] == "agent"
        assert token["sub"].startswith("june-stt-")
        assert token["video"] == {
            "room": one.data["room_name"],
            "roomJoin": True,
            "hidden": True,
            "canSubscribe": True,
            "canPublish": False,
            "canPublishData": False,
        }
        assert token["exp"] - token["nbf"] == 300


def test_both_voices_were_heard_and_their_words_told(told: Told) -> None:
    """Sound arrived at the STT service, and its final transcripts became events."""
    reports = [one.data for one in told.of("june.stt.transcript.v1")]
    assert len(reports) == 2
    assert all(report["heard_rms"] > AUDIBLE_RMS for report in reports)
    added = [one.data for one in told.of("june.transcript.added.v1")]
    assert {one["participant"]["sid"] for one in added} == set(told.sids.values())
    for transcript in added:
        assert (transcript["text"], transcript["language"], transcript["utterance_id"]) == (
            SENTENCE,
            "en",
            "1.1",
        )
        assert (transcript["start_ms"], transcript["end_ms"], transcript["confidence"]) == (0, 1000, None)


def test_a_transcript_becomes_a_turn_that_is_answered_and_spoken(told: Told) -> None:
    """The answer's parts are spoken in order, heard by the person, and told as one text when they are done."""
    turns = [one.data for one in told.of("june.ai.turn.v1")]
    assert [turn["participant"]["sid"] for turn in turns] == list(told.sids.values())
    assert all((turn["text"], turn["attempt"]) == (SENTENCE, 1) for turn in turns)
    for turn in turns:
        parts = _of_turn(told, "june.ai.reply.v1", turn)
        spoken = _of_turn(told, "june.tts.speak.v1", turn)
        assert [(part["part"], part["text"]) for part in spoken] == [
            (part["part"], part["text"]) for part in parts
        ]
        (completed,) = _of_turn(told, "june.turn.completed.v1", turn)
        assert completed["spoken"] is True
        assert completed["text"] == " ".join(part["text"] for part in parts)
    assert told.heard_answer_rms > AUDIBLE_RMS


def test_the_second_turn_knows_what_was_said_before(told: Told) -> None:
    """Its history has the first question and answer, and not its own text."""
    first, second = (one.data for one in told.of("june.ai.turn.v1"))
    assert first["history"] == []
    (completed,) = _of_turn(told, "june.turn.completed.v1", first)
    assert [(entry["role"], entry["identity"], entry["text"]) for entry in second["history"]] == [
        ("user", "ann", SENTENCE),
        ("assistant", None, completed["text"]),
    ]


def test_the_token_of_a_part_to_speak_can_publish_a_microphone_and_nothing_else(told: Told) -> None:
    """Kind agent, seen and heard, deaf."""
    for one in told.of("june.tts.speak.v1"):
        token = claims(one.data["token"])
        assert token["kind"] == "agent"
        assert token["sub"].startswith("june-tts-")
        grants = token["video"]
        assert (grants["room"], grants["canPublish"], grants["canSubscribe"]) == (
            one.data["room_name"],
            True,
            False,
        )
        assert grants["canPublishSources"] == ["microphone"]
        assert not grants.get("hidden")


def test_who_leaves_is_not_listened_to_any_more(told: Told) -> None:
    """Each job is stopped when its voice ends, and told as waiting, running, ended.

    Who is heard once more, having reported before the stop came, is told again, and alone.
    """
    for job in (one.data for one in told.of("june.stt.start.v1")):
        stops = (one.data for one in told.of("june.stt.stop.v1") if one.data["job_id"] == job["job_id"])
        (stop,) = (stop for stop in stops if stop["instance"] is None)
        assert stop["track_sid"] == job["track"]["sid"]
        assert stop["reason"] in {"track_unpublished", "participant_left"}
        changes = [one.data for one in told.of("june.job.changed.v1") if one.data["job_id"] == job["job_id"]]
        assert [change["state"] for change in changes] == ["waiting", "running", "ended"]
        assert changes[-1]["reason"] == stop["reason"]


def test_a_guest_has_an_identity_of_its_own(told: Told) -> None:
    """The guest's token is for the session's room and another identity than the owner's."""
    assert set(told.guest) == GUEST_ANSWER
    assert told.guest["room_name"] == told.created["session"]["room_name"]
    assert claims(told.guest["access_token"])["sub"] == told.guest["identity"] != "ann"


def test_no_message_but_the_one_that_needs_it_holds_a_token(told: Told) -> None:
    """Tokens are in the jobs that need one, and nowhere else that somebody may read along."""
    for one in told.from_june:
        if one.type not in {"june.stt.start.v1", "june.tts.speak.v1"}:
            assert "eyJ" not in json.dumps(one.body)


def _of_turn(told: Told, type_: str, turn: Data) -> list[Data]:
    return [one.data for one in told.of(type_) if one.data["turn_id"] == turn["turn_id"]]
