"""The other commands, and what all of them have in common."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.bench_worker import BenchWorker
from tests.support.polling import until
from worker.application.failures import StoreUnavailable
from worker.application.ports import Transaction


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


def as_cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "AAAA",
        "bnVsbA==",
        "W10=",
        as_cursor(99999999999999999, "a"),
        as_cursor(-(10**15), "a"),
        as_cursor(1.5, "a"),
        as_cursor(True, "a"),
        as_cursor(1, 1),
        as_cursor(1, ""),
        as_cursor(1, "\0"),
        as_cursor(1, "\ud800"),
        as_cursor(1, "a", "b"),
        as_cursor({}, "a"),
    ],
)
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


async def test_a_command_that_was_carried_out_is_answered_after_its_deadline(worker: BenchWorker) -> None:
    """`deadline_exceeded` would say that nothing was begun."""
    past = worker.clock.now() - timedelta(milliseconds=1)
    first = await worker.ask("session.create", command_id="c", user_id="ann")
    again = await worker.ask("session.create", command_id="c", deadline=past, user_id="ann")
    assert again["result"]["session"] == first["result"]["session"]


async def test_removing_leaves_nothing_behind_when_livekit_is_away(worker: BenchWorker) -> None:
    """Who is there stays there with a token, and who never was there is still nobody."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    worker.livekit.join("s1", "ann")
    await worker.livekit.down()
    for identity in ("ann", "nobody"):
        reply = await worker.ask(
            "participant.remove", command_id=identity, session_id="s1", identity=identity
        )
        assert (reply["error"]["code"], reply["error"]["retryable"]) == ("unavailable", True)
    assert (await worker.ok("session.get", session_id="s1"))["access_token"]
    await worker.livekit.up()
    nobody = await worker.ask("participant.remove", command_id="nobody", session_id="s1", identity="nobody")
    assert nobody["error"]["code"] == "not_found"
    ann = await worker.ask("participant.remove", command_id="ann", session_id="s1", identity="ann")
    assert ann["result"] == {"removed": True}


async def test_a_removal_whose_answer_was_lost_is_finished_by_the_same_command(worker: BenchWorker) -> None:
    """LiveKit took the participant out and could not say so: it was there, and it is removed."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    worker.livekit.join("s1", "bob")
    ask: dict[str, Any] = {"session_id": "s1", "identity": "bob"}
    worker.livekit.slow_only("RemoveParticipant", timedelta(seconds=2))
    assert (await worker.ask("participant.remove", command_id="r", **ask))["error"]["code"] == "unavailable"
    worker.livekit.slow(timedelta())
    assert "bob" not in worker.livekit.identities("s1")
    assert (await worker.ask("participant.remove", command_id="r", **ask))["result"] == {"removed": True}


async def test_of_two_removals_at_once_none_undoes_the_other(worker: BenchWorker) -> None:
    """One takes the participant out, the other finds it gone; it stays out."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    for number in range(5):
        identity = f"bob-{number}"
        worker.livekit.join("s1", identity)
        replies = await asyncio.gather(
            *(worker.ask("participant.remove", session_id="s1", identity=identity) for _ in range(3))
        )
        assert any(reply["ok"] for reply in replies)
        worker.livekit.join("s1", identity)
        room = {"sid": worker.livekit.room_sid("s1"), "name": "s1"}
        person = {"sid": f"PA_{number}", "identity": identity}
        await worker.webhook("participant_joined", room=room, participant=person)
        await worker.errands.round()
        assert identity not in worker.livekit.identities("s1")


async def test_junes_bots_are_nobody_to_remove(worker: BenchWorker) -> None:
    """They are in no list, and what is not there is not found."""
    await worker.ok("session.create", user_id="ann", session_id="s1")
    worker.livekit.join("s1", "june-stt-1", kind="agent", hidden=True)
    reply = await worker.ask("participant.remove", session_id="s1", identity="june-stt-1")
    assert reply["error"]["code"] == "not_found"
    assert "june-stt-1" in worker.livekit.identities("s1")


async def test_an_error_about_a_session_has_it_as_its_subject(worker: BenchWorker) -> None:
    """Where there is a session, whatever went wrong with it."""
    await worker.ok("session.create", user_id="ann", session_id="s1")

    async def said(type_: str, **more: Any) -> tuple[str, str | None]:
        envelope = json.loads((await worker.answer(type_, session_id="s1", **more)).reply)
        return envelope["data"]["error"]["code"], envelope["subject"]

    assert await said("participant.remove", identity="nobody") == ("not_found", "s1")
    await worker.livekit.down()
    for type_ in ("room.get", "participant.list", "session.delete"):
        assert await said(type_) == ("unavailable", "s1")


@pytest.mark.parametrize("field", ["user_id", "metadata"])
async def test_a_field_of_a_megabyte_is_named(worker: BenchWorker, field: str) -> None:
    """And so is the command. Only what is larger than 4 MiB is not looked into."""
    value: Any = "x" * (1 << 20) if field == "user_id" else {"a": "x" * (1 << 20)}
    reply = await worker.ask("session.create", command_id="c", **({"user_id": "ann"} | {field: value}))
    assert (reply["command_id"], reply["error"]["details"][0]["field"]) == ("c", field)
    answered = await worker.answer("session.create", user_id="x" * (4 << 20))
    assert answered.error is not None
    assert (answered.error.code, answered.command_id) == ("invalid_argument", None)


async def test_what_is_wrong_by_itself_is_said_without_a_store(worker: BenchWorker) -> None:
    """The same command again would not be right, whatever is down."""

    async def away(work: Callable[[Transaction], Any]) -> Any:
        raise StoreUnavailable("away")

    worker.store.run = away  # type: ignore[method-assign]
    assert (await worker.ask("session.create", user_id=""))["error"]["code"] == "invalid_argument"
    assert (await worker.ask("session.crate"))["error"]["code"] == "unimplemented"
    assert (await worker.ask("session.create", user_id="ann"))["error"]["code"] == "unavailable"


async def test_deleting_waits_for_a_session_that_is_being_made_of_the_room_name(worker: BenchWorker) -> None:
    """LiveKit is there, so nothing is unavailable: the new session closes the old room, then both are answered."""
    worker.livekit.slow(timedelta(seconds=0.1))
    old = "s0"
    await worker.ok("session.create", user_id="ann", session_id=old, room_name="r")
    for number in range(1, 6):
        new = f"s{number}"
        deleted, made = await asyncio.gather(
            worker.ask("session.delete", session_id=old),
            worker.ask("session.create", user_id="ann", session_id=new, room_name="r"),
        )
        assert deleted["result"]["session"]["status"] == "ended"
        if not made["ok"]:
            assert made["error"]["code"] == "already_exists"
            made = await worker.ask("session.create", user_id="ann", session_id=new, room_name="r")
        assert worker.livekit.room_sid("r") == made["result"]["session"]["livekit_room_sid"]
        old = new


async def test_what_comes_of_a_room_after_its_sessions_end_is_not_told(worker: BenchWorker) -> None:
    """The session ended while LiveKit was asked, and its room's name has gone to another one."""
    await worker.ok("session.create", user_id="ann", session_id="s1", room_name="r")
    worker.livekit.slow_only("ListRooms", timedelta(seconds=0.3))
    asked = [
        asyncio.create_task(worker.ask(type_, session_id="s1")) for type_ in ("room.get", "participant.list")
    ]
    await until(lambda: worker.livekit.calls.count("ListRooms") == 2)
    await worker.ok("session.delete", session_id="s1")
    await worker.ok("session.create", user_id="ben", session_id="s2", room_name="r")
    worker.livekit.join("r", "ben")
    room, people = await asyncio.gather(*asked)
    assert room["result"] == {"room": None}
    assert people["error"]["code"] == "failed_precondition"
