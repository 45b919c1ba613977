"""The other commands, and what all of them have in common."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.support.bench_worker import BenchWorker


async def test_delete_ends_the_session_and_closes_its_room(worker: BenchWorker) -> None:
    """Twice is as good as once."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    for _ in range(2):
        session = (await worker.ok("session.delete", session_id="s1"))["session"]
        assert (session["status"], session["end_reason"]) == ("ended", "deleted")
    assert worker.livekit.room_sid("s1") is None
    assert worker.types() == ["session.created", "session.ended"]


async def test_delete_keeps_the_wish_while_livekit_is_away(worker: BenchWorker) -> None:
    """Answered `unavailable`, the session has ended; its room is closed as soon as LiveKit is back."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    await worker.livekit.down()
    reply = await worker.ask("session.delete", command_id="d", session_id="s1")
    assert reply["error"]["code"] == "unavailable"
    assert (await worker.ok("session.get", session_id="s1"))["session"]["status"] == "ended"
    await worker.livekit.up()
    worker.clock.advance(timedelta(minutes=1))
    await worker.errands.round()
    assert worker.livekit.room_sid("s1") is None
    assert (await worker.ask("session.delete", command_id="d", session_id="s1"))["ok"]


async def test_after_the_end_the_token_fields_are_null(worker: BenchWorker) -> None:
    """In a new answer, and in the remembered one."""
    await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1")
    await worker.ok("session.delete", session_id="s1")
    for reply in (
        await worker.ask("session.get", session_id="s1"),
        await worker.ask("session.create", command_id="c1", user_id="ann", session_id="s1"),
    ):
        result = reply["result"]
        assert [result[name] for name in ("access_token", "identity", "livekit_url", "token_expires_at")] == [
            None
        ] * 4


@pytest.mark.parametrize(
    ("type_", "more"),
    [
        ("participant.list", {}),
        ("participant.remove", {"identity": "ann"}),
        ("guest_token.create", {"guest_name": "G"}),
    ],
)
async def test_after_the_end_people_cannot_be_asked_for(
    worker: BenchWorker, type_: str, more: dict[str, Any]
) -> None:
    """`failed_precondition`, with the session as the reply's subject; `room.get` answers null."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    await worker.ok("session.delete", session_id="s1")
    answered = await worker.answer(type_, session_id="s1", **more)
    reply = json.loads(answered.reply)
    assert reply["data"]["error"]["code"] == "failed_precondition"
    assert reply["subject"] == "s1"
    assert (await worker.ok("room.get", session_id="s1")) == {"room": None}


async def test_a_removed_user_stays_out_until_named(worker: BenchWorker) -> None:
    """Its token fields are null, and its joining again is undone; named in a get, it may come in."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    worker.livekit.join("s1", "ann")
    assert await worker.ok("participant.remove", session_id="s1", identity="ann") == {"removed": True}
    assert "ann" not in worker.livekit.identities("s1")
    assert (await worker.ok("session.get", session_id="s1"))["access_token"] is None
    worker.livekit.join("s1", "ann")
    room = {"sid": worker.livekit.room_sid("s1"), "name": "s1"}
    await worker.webhook("participant_joined", room=room, participant={"sid": "PA_2", "identity": "ann"})
    await worker.errands.round()
    assert "ann" not in worker.livekit.identities("s1")
    assert (await worker.ok("session.get", session_id="s1", identity="ann"))["access_token"]
    worker.livekit.join("s1", "ann")
    await worker.webhook("participant_joined", room=room, participant={"sid": "PA_3", "identity": "ann"})
    await worker.errands.round()
    assert "ann" in worker.livekit.identities("s1")


async def test_removing_nobody_is_not_found(worker: BenchWorker) -> None:
    """And bars nobody."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    reply = await worker.ask("participant.remove", session_id="s1", identity="ann")
    assert reply["error"]["code"] == "not_found"
    assert (await worker.ok("session.get", session_id="s1"))["access_token"]


async def test_each_guest_has_an_identity_of_its_own(worker: BenchWorker) -> None:
    """And the same command the same guest."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    ask: dict[str, Any] = {"session_id": "s1", "guest_name": "G", "can_publish": False}
    one = await worker.ask("guest_token.create", command_id="g1", **ask)
    two = await worker.ask("guest_token.create", command_id="g2", **ask)
    again = await worker.ask("guest_token.create", command_id="g1", **ask)
    assert one["result"]["identity"] != two["result"]["identity"]
    assert one["result"]["identity"] == again["result"]["identity"]
    assert one["result"]["room_name"] == "s1"


async def test_pages_are_newest_first_and_stable(worker: BenchWorker) -> None:
    """A session made between two pages moves nothing."""
    for number in range(5):
        worker.clock.advance(timedelta(seconds=1))
        await worker.ok("session.create", user_id="ann", session_id=f"s{number}")
    first = await worker.ok("session.list", user_id="ann", limit=2)
    await worker.ok("session.create", user_id="ann", session_id="new")
    second = await worker.ok("session.list", user_id="ann", limit=2, cursor=first["next_cursor"])
    third = await worker.ok("session.list", user_id="ann", limit=2, cursor=second["next_cursor"])
    listed = [s["session_id"] for page in (first, second, third) for s in page["sessions"]]
    assert listed == ["s4", "s3", "s2", "s1", "s0"]
    assert third["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA==", "W10=", "Wzk5OTk5OTk5OTk5OTk5OTk5LCJhIl0="])
async def test_a_made_up_cursor_is_refused(worker: BenchWorker, cursor: str) -> None:
    """With the field's name."""
    reply = await worker.ask("session.list", cursor=cursor)
    assert reply["error"]["code"] == "invalid_argument"
    assert reply["error"]["details"][0]["field"] == "cursor"


async def test_a_passed_deadline_begins_nothing(worker: BenchWorker) -> None:
    """And is not remembered: the same command with more time is carried out."""
    past = worker.clock.now() - timedelta(milliseconds=1)
    reply = await worker.ask("session.create", command_id="c", deadline=past, user_id="ann")
    assert reply["error"]["code"] == "deadline_exceeded"
    assert (await worker.ask("session.create", command_id="c", user_id="ann"))["ok"]


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"specversion":"1.0"}', b"[" * 100_000])
async def test_what_is_no_envelope_is_answered(worker: BenchWorker, body: bytes) -> None:
    """`invalid_argument`, whatever the bytes."""
    answered = await worker.commands.execute(body, deadline=None)
    assert answered.error is not None
    assert (answered.error.code, answered.readable) == ("invalid_argument", False)


async def test_an_unknown_type_is_unimplemented(worker: BenchWorker) -> None:
    """With the field's name."""
    reply = await worker.ask("session.crate", user_id="ann")
    assert reply["error"]["code"] == "unimplemented"


async def test_a_broken_rule_is_remembered_under_its_id(worker: BenchWorker) -> None:
    """The same answer again; other data under the same id is another mistake."""
    first = await worker.ask("session.create", command_id="c", user_id="")
    assert await worker.ask("session.create", command_id="c", user_id="") == first
    other = await worker.ask("session.create", command_id="c", user_id="ann")
    assert other["error"]["details"][0]["field"] == "id"
