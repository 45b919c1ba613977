"""session.create: what is answered, and what happens when it is repeated, raced or interrupted."""

from __future__ import annotations

from datetime import timedelta

import jwt

from tests.support.bench_worker import BenchWorker


def claims(token: str) -> dict[str, object]:
    decoded: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return decoded


async def test_a_session_is_created_with_its_room_and_a_token(worker: BenchWorker) -> None:
    """The answer has every field, and LiveKit has the room."""
    result = await worker.ok("session.create", user_id="ann", session_id="s1", metadata={"a": 1})
    assert result["session"] == {
        "session_id": "s1",
        "user_id": "ann",
        "room_name": "s1",
        "livekit_room_sid": worker.livekit.room_sid("s1"),
        "status": "created",
        "origin": "june",
        "created_at": "2026-11-22T19:00:00.000Z",
        "started_at": None,
        "ended_at": None,
        "end_reason": None,
        "metadata": {"a": 1},
        "stt": {"enabled": True, "language": "en"},
        "ai": {"enabled": True, "speak": True},
    }
    assert result["identity"] == "ann"
    assert result["livekit_url"] == "wss://livekit.example.org"
    assert result["token_expires_at"] == "2026-11-22T19:15:00.000Z"
    assert claims(result["access_token"])["sub"] == "ann"
    assert worker.types() == ["session.created"]


async def test_the_same_command_again_does_nothing_again(worker: BenchWorker) -> None:
    """One session, one event, one room; the token is a fresh one."""
    first = await worker.ask("session.create", command_id="c1", user_id="ann")
    worker.clock.advance(timedelta(minutes=1))
    second = await worker.ask("session.create", command_id="c1", user_id="ann")
    assert second["result"]["session"] == first["result"]["session"]
    assert second["result"]["token_expires_at"] == "2026-11-22T19:16:00.000Z"
    assert worker.types() == ["session.created"]


async def test_the_same_id_with_other_data_is_refused(worker: BenchWorker) -> None:
    """A key belongs to one command."""
    await worker.ask("session.create", command_id="c1", user_id="ann")
    reply = await worker.ask("session.create", command_id="c1", user_id="ben")
    assert reply["error"]["code"] == "invalid_argument"
    assert reply["error"]["details"][0]["field"] == "id"


async def test_a_used_session_id_and_a_taken_room_name_already_exist(worker: BenchWorker) -> None:
    """Each names its field; an ended session gives its room name back, and never its id."""
    await worker.ok("session.create", user_id="ann", session_id="s1", room_name="r1")
    again = await worker.ask("session.create", user_id="ann", session_id="s1", room_name="r2")
    assert (again["error"]["code"], again["error"]["details"][0]["field"]) == ("already_exists", "session_id")
    taken = await worker.ask("session.create", user_id="ann", session_id="s2", room_name="r1")
    assert (taken["error"]["code"], taken["error"]["details"][0]["field"]) == ("already_exists", "room_name")
    await worker.ok("session.delete", session_id="s1")
    await worker.ok("session.create", user_id="ann", session_id="s3", room_name="r1")
    used = await worker.ask("session.create", user_id="ann", session_id="s1", room_name="r9")
    assert used["error"]["code"] == "already_exists"


async def test_with_livekit_away_nothing_is_half_done(worker: BenchWorker) -> None:
    """The answer is `unavailable`, the session is not there, and the same command finishes it later."""
    await worker.livekit.down()
    reply = await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1")
    assert (reply["error"]["code"], reply["error"]["retryable"]) == ("unavailable", True)
    assert (await worker.ask("session.get", session_id="s1"))["error"]["code"] == "not_found"
    assert worker.types() == []
    await worker.livekit.up()
    reply = await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1")
    assert reply["ok"]
    assert worker.types() == ["session.created"]


async def test_another_command_may_take_the_names_of_one_that_failed(worker: BenchWorker) -> None:
    """A create that was answered `unavailable` holds nothing."""
    await worker.livekit.down()
    await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1", room_name="r")
    await worker.livekit.up()
    await worker.ok("session.create", user_id="ben", session_id="s2", room_name="r")
    reply = await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1", room_name="r")
    assert reply["error"]["code"] == "already_exists"


async def test_a_webhook_that_comes_before_the_answer_adopts_nothing(worker: BenchWorker) -> None:
    """The room of a session that is being made is its room, also when LiveKit's answer was lost."""
    worker.livekit.fail_next("unavailable")
    await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1")
    await worker.webhook("room_started", room={"sid": "RM_a", "name": "s1"})
    await worker.webhook(
        "participant_joined",
        room={"sid": "RM_a", "name": "s1"},
        participant={"sid": "PA_a", "identity": "ann"},
    )
    assert worker.types() == ["session.created", "session.started", "participant.joined"]
    result = (await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1"))["result"]
    assert result["session"]["session_id"] == "s1"
    assert worker.types().count("session.created") == 1
