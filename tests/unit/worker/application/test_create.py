"""session.create: what is answered, and what happens when it is repeated, raced or interrupted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from tests.support.bench_worker import BenchWorker
from tests.support.polling import until


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


async def test_an_answer_says_when_its_token_stops_working(worker: BenchWorker) -> None:
    """To the second, as the token itself has it."""
    worker.clock.advance(timedelta(milliseconds=999))
    result = await worker.ok("session.create", user_id="ann", token_ttl_s=60)
    assert result["token_expires_at"] == "2026-11-22T19:01:00.000Z"
    assert claims(result["access_token"])["exp"] == datetime(2026, 11, 22, 19, 1, tzinfo=UTC).timestamp()


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


async def test_other_data_under_the_id_of_a_failed_command_is_a_command_of_its_own(
    worker: BenchWorker,
) -> None:
    """`unavailable` is not remembered: what was asked for then is not mixed into what is asked for now."""
    await worker.livekit.down()
    await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1", metadata={"a": 1})
    await worker.livekit.up()
    result = (await worker.ask("session.create", command_id="c1", user_id="ben", session_id="s1"))["result"]
    assert (result["session"]["user_id"], result["session"]["metadata"]) == ("ben", None)
    assert claims(result["access_token"])["sub"] == "ben"


async def test_other_data_under_the_id_of_a_command_at_work_is_refused(worker: BenchWorker) -> None:
    """And takes nothing from the one that came first; that one's answer is the one that is remembered."""
    worker.livekit.slow(timedelta(seconds=0.2))
    first = asyncio.create_task(worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1"))
    await until(lambda: "CreateRoom" in worker.livekit.calls)
    other = await worker.ask("session.create", command_id="c1", user_id="ben", session_id="s1")
    assert other["error"]["details"][0]["field"] == "id"
    made = (await first)["result"]["session"]
    assert made["user_id"] == "ann"
    again = await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1")
    assert again["result"]["session"] == made


@pytest.mark.parametrize(
    ("code", "told"), [("unavailable", "unavailable"), ("failed_precondition", "internal")]
)
async def test_what_livekit_did_not_do_holds_no_name(worker: BenchWorker, code: str, told: str) -> None:
    """Whether it could not or would not: another command may have the names at once."""
    worker.livekit.fail_next(code)
    failed = await worker.ask("session.create", user_id="ann", session_id="s1", room_name="r")
    assert failed["error"]["code"] == told
    await worker.ok("session.create", user_id="ben", session_id="s1", room_name="r")


async def test_copies_at_once_dispatch_an_agent_once(worker: BenchWorker) -> None:
    """However many of them run side by side, and also into a room that was there before."""
    worker.livekit.slow(timedelta(seconds=0.05))
    for room_name in ("new", "old"):
        if room_name == "old":
            worker.livekit.join(room_name, "early")
        copies = [
            worker.ask(
                "session.create", command_id=room_name, user_id="a", room_name=room_name, agents=AGENTS
            )
            for _ in range(1 if room_name == "old" else 8)
        ]
        replies = await asyncio.gather(*copies)
        assert all(reply["ok"] for reply in replies)
        assert worker.livekit.dispatched(room_name) == [("greeter", "hi"), ("scribe", "")]


async def test_an_answer_given_again_keeps_its_room_shut_for_longer(worker: BenchWorker) -> None:
    """Its token works for longer than the first one: until then a deleted session's room is closed again."""
    await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1", token_ttl_s=900)
    worker.clock.advance(timedelta(seconds=800))
    await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1", token_ttl_s=900)
    await worker.ok("session.delete", session_id="s1")
    worker.clock.advance(timedelta(seconds=800))
    worker.livekit.join("s1", "ann")
    await worker.webhook("room_started", room={"sid": "RM_back", "name": "s1"})
    await worker.errands.round()
    assert worker.livekit.room_sid("s1") is None
    assert worker.types() == ["session.created", "session.ended"]


AGENTS = [{"agent_name": "greeter", "metadata": "hi"}, {"agent_name": "scribe"}]
