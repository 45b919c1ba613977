"""Commands as messages, from outside: what is refused and how, what cannot be read, and how each is answered
(contract.md §§1, 2 and 6).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import pytest

from tests.e2e.client import Client, Inbox, command, fields, of_session
from tests.e2e.installation import Installation
from tests.e2e.names import CREATE, DELETE, GET, LIST, unique
from tests.e2e.shapes import mirrors

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Limits.

BAD = [
    ({}, ["user_id"]),
    ({"user_id": ""}, ["user_id"]),
    ({"user_id": None}, ["user_id"]),
    ({"user_id": 5}, ["user_id"]),
    ({"user_id": "ü" * 129}, ["user_id"]),
    ({"user_id": "a\nb"}, ["user_id"]),
    ({"user_id": "a\x7fb"}, ["user_id"]),
    ({"user_id": "a\u0085b"}, ["user_id"]),
    ({"user_id": "ann", "session_id": ""}, ["session_id"]),
    ({"user_id": "ann", "session_id": "a b"}, ["session_id"]),
    ({"user_id": "ann", "session_id": "ü"}, ["session_id"]),
    ({"user_id": "ann", "session_id": "a\n"}, ["session_id"]),
    ({"user_id": "ann", "session_id": "x" * 129}, ["session_id"]),
    ({"user_id": "ann", "room_name": "🙂" * 65}, ["room_name"]),
    ({"user_id": "ann", "room_name": "a\tb"}, ["room_name"]),
    ({"user_id": "ann", "display_name": 1}, ["display_name"]),
    ({"user_id": "ann", "metadata": "{}"}, ["metadata"]),
    ({"user_id": "ann", "metadata": []}, ["metadata"]),
    ({"user_id": "ann", "metadata": {"a": "x" * 65_529}}, ["metadata"]),
    ({"user_id": "ann", "token_ttl_s": 59}, ["token_ttl_s"]),
    ({"user_id": "ann", "token_ttl_s": 86_401}, ["token_ttl_s"]),
    ({"user_id": "ann", "token_ttl_s": "900"}, ["token_ttl_s"]),
    ({"user_id": "ann", "token_ttl_s": True}, ["token_ttl_s"]),
    ({"user_id": "ann", "empty_timeout_s": 0}, ["empty_timeout_s"]),
    ({"user_id": "ann", "empty_timeout_s": 86_401}, ["empty_timeout_s"]),
    ({"user_id": "ann", "departure_timeout_s": 0}, ["departure_timeout_s"]),
    ({"user_id": "ann", "departure_timeout_s": 1.5}, ["departure_timeout_s"]),
    ({"user_id": "ann", "max_participants": -1}, ["max_participants"]),
    ({"user_id": "ann", "stt": True}, ["stt"]),
    ({"user_id": "ann", "stt": {"enabled": "yes"}}, ["stt.enabled"]),
    ({"user_id": "ann", "stt": {"enabled": 1}}, ["stt.enabled"]),
    ({"user_id": "ann", "stt": {"enabledd": True}}, ["stt.enabledd"]),
    ({"user_id": "ann", "ai": {"speak": "no"}}, ["ai.speak"]),
    ({"user_id": "ann", "agents": {}}, ["agents"]),
    ({"user_id": "ann", "agents": [{}]}, ["agents.0.agent_name"]),
    ({"user_id": "ann", "agents": [{"agent_name": "a"}, {"agent_name": 1}]}, ["agents.1.agent_name"]),
    ({"user_id": "ann", "agents": [{"agent_name": "a", "x": 1}]}, ["agents.0.x"]),
    ({"user_id": "ann", "roomname": "typo"}, ["roomname"]),
    ({"user_id": 1, "session_id": "?", "stt": {"x": 1}}, ["session_id", "stt.x", "user_id"]),
]


@pytest.mark.parametrize(("data", "wrong"), BAD, ids=lambda value: json.dumps(value)[:48])
async def test_each_wrong_field_is_named(client: Client, data: dict[str, Any], wrong: list[str]) -> None:
    """By its path, and nothing is made."""
    error = await client.refused(CREATE, data)
    assert (error["code"], error["retryable"]) == ("invalid_argument", False)
    assert sorted(fields(error)) == wrong
    assert all(detail["problem"] for detail in error["details"])


@pytest.mark.parametrize(
    "more",
    [
        {"user_id": "ü" * 128, "display_name": "ü" * 128},
        {"session_id": "Az09._:-" * 16},
        {"room_name": "🙂" * 64},
        {"metadata": {"a": "x" * 65_528}},
        {"token_ttl_s": 60, "empty_timeout_s": 1, "departure_timeout_s": 1, "max_participants": 1},
        {"token_ttl_s": 86_400, "empty_timeout_s": 86_400, "departure_timeout_s": 86_400},
        {"room_name": "June \u202e مرحبا * # / ? %2F .."},
    ],
    ids=",".join,
)
async def test_limits_are_allowed_to_the_last(client: Client, more: dict[str, Any]) -> None:
    """What is exactly as long, or as large, as the contract allows is taken."""
    result = await client.ok(CREATE, {"user_id": "ann", **more})
    for name in more.keys() & {"user_id", "session_id", "room_name", "metadata"}:
        assert result["session"][name] == more[name]


@pytest.mark.parametrize(
    ("type_", "data", "wrong"),
    [
        (GET, {}, ["session_id"]),
        (GET, {"session_id": "x", "identity": ""}, ["identity"]),
        (LIST, {"limit": 0}, ["limit"]),
        (LIST, {"limit": 201}, ["limit"]),
        (LIST, {"status": "dead"}, ["status"]),
        (LIST, {"cursor": "no such"}, ["cursor"]),
        (DELETE, {"session_id": "x", "why": "typo"}, ["why"]),
        ("june.participant.remove.v1", {"session_id": "x"}, ["identity"]),
        ("june.guest_token.create.v1", {"session_id": "x", "guest_name": "B", "ttl_s": 1}, ["ttl_s"]),
        (
            "june.guest_token.create.v1",
            {"session_id": "x", "guest_name": "B", "can_publish": "yes"},
            ["can_publish"],
        ),
    ],
)
async def test_every_command_names_its_wrong_fields(
    client: Client, type_: str, data: dict[str, Any], wrong: list[str]
) -> None:
    """Those that are not creates, too."""
    error = await client.refused(type_, data)
    assert (error["code"], fields(error)) == ("invalid_argument", wrong)


# What cannot be read.

UNREADABLE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b'{"specversion": "1.0", "id": "\xff"}',
    b"NaN",
    b"[" * 100_000,
    b"{}",
]
INCOMPLETE = [
    ({"specversion": "0.3"}, ["specversion"]),
    ({"id": ""}, ["id"]),
    ({"id": 5}, ["id"]),
    ({"id": "x" * 256}, ["id"]),
    ({"source": None}, ["source"]),
    ({"type": ["x"]}, ["type"]),
    ({"data": None}, ["data"]),
    ({"data": []}, ["data"]),
    ({"data": "{}"}, ["data"]),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:24]))
async def test_what_is_no_envelope_is_answered(client: Client, body: bytes) -> None:
    """With `invalid_argument` and no command id, and the next command is not delayed."""
    answer = await client.ask_bytes(body)
    assert answer["ok"] is False
    assert answer["command_id"] is None
    assert (answer["error"]["code"], answer["error"]["retryable"]) == ("invalid_argument", False)
    await client.ok(LIST, {"limit": 1})


@pytest.mark.parametrize(("change", "wrong"), INCOMPLETE, ids=lambda value: json.dumps(value)[:32])
async def test_each_wrong_attribute_is_named(
    client: Client, change: dict[str, Any], wrong: list[str]
) -> None:
    """An envelope that breaks a rule is answered with the attribute's name, and with its id where it can be read."""
    envelope = json.loads(command(CREATE, {"user_id": "ann"})) | change
    answer = await client.ask_bytes(json.dumps(envelope).encode())
    assert fields(answer["error"]) == wrong
    assert answer["command_id"] == (None if "id" in change else envelope["id"])


async def test_an_unknown_type_is_unimplemented(client: Client) -> None:
    """Also one of a later version, and whatever the routing key says."""
    for type_ in ("june.session.nope.v1", "june.session.create.v2", "hello", "june.events.Ü"):
        answer = await client.ask_bytes(command(type_, {}), routing_key=CREATE)
        assert (answer["error"]["code"], answer["error"]["retryable"]) == ("unimplemented", False)


async def test_the_body_decides(client: Client) -> None:
    """A sender's routing key, content type, message id and type decide nothing."""
    body = command(CREATE, {"user_id": "ann"}, subject="x", time="2026-11-22T19:00:00Z", extension="y")
    answer = await client.ask_bytes(
        body, routing_key="anything", content_type="text/plain", message_id="other", type="other"
    )
    assert answer["ok"] is True


async def test_unreadable_commands_without_reply_to_are_dead_lettered(client: Client) -> None:
    """As they were, with every header of the contract."""
    dead = await client.drain("june.dead.v1")
    marked = b"no json " + unique().encode()
    invalid = command(CREATE, {"user_id": 5})
    unknown = command("june.session.nope.v1", {})
    started_ms = time.time() * 1000
    for body in (marked, invalid, unknown):
        await client.send(body, reply_to=None, routing_key="june.some.key", headers={"mine": "kept"})
    for body in (marked, invalid, unknown):
        letter = await dead.first(lambda one, body=body: one.body == body)  # type: ignore[misc]
        headers = letter.message.headers
        assert headers["origin_exchange"] == "june.commands"
        assert headers["origin_routing_key"] == "june.some.key"
        assert isinstance(headers["reason"], str)
        assert headers["reason"]
        assert isinstance(headers["error"], str)
        assert headers["error"]
        assert type(headers["attempts"]) is int
        assert isinstance(headers["failed_at"], int)
        assert started_ms - 5000 <= headers["failed_at"] <= time.time() * 1000 + 5000
        assert headers["mine"] == "kept"


# How it is answered.


async def test_a_reply_is_an_envelope(client: Client) -> None:
    """With all of its attributes, and AMQP properties that mirror it."""
    body = command(CREATE, {"user_id": "ann"})
    correlation_id = unique("corr")
    reply = await client.reply(await client.send(body, correlation_id=correlation_id))
    envelope = reply.envelope
    assert {name: value for name, value in envelope.items() if name not in {"id", "time", "data"}} == {
        "specversion": "1.0",
        "source": "june",
        "type": "june.reply.v1",
        "subject": envelope["data"]["result"]["session"]["session_id"],
        "datacontenttype": "application/json",
        "partitionkey": None,
        "sequence": None,
        "traceparent": None,
    }
    assert set(envelope["data"]) == {"ok", "command_id", "result"}
    assert envelope["data"]["command_id"] == json.loads(body)["id"]
    mirrors(reply.message, reply.envelope)
    assert reply.message.correlation_id == correlation_id


async def test_an_error_is_an_envelope(client: Client) -> None:
    """With the same attributes, and the error in full."""
    reply = await client.reply(await client.send(command(CREATE, {})))
    assert set(reply.data) == {"ok", "command_id", "error"}
    assert set(reply.data["error"]) == {"code", "message", "retryable", "details"}
    assert all(set(detail) == {"field", "problem"} for detail in reply.data["error"]["details"])
    assert reply.envelope["subject"] is None
    mirrors(reply.message, reply.envelope)


async def test_a_past_deadline_begins_nothing(client: Client) -> None:
    """`deadline_exceeded`, and no session; a deadline to come changes nothing."""
    session_id = unique()
    past = {"deadline": round(time.time() * 1000) - 1000}
    error = await client.refused(CREATE, {"user_id": "ann", "session_id": session_id}, headers=past)
    assert (error["code"], error["retryable"]) == ("deadline_exceeded", False)
    assert (await client.refused(GET, {"session_id": session_id}))["code"] == "not_found"
    to_come = {"deadline": round(time.time() * 1000) + 60_000}
    await client.ok(CREATE, {"user_id": "ann", "session_id": session_id}, headers=to_come)


async def test_the_same_command_after_its_deadline_may_come_again(client: Client) -> None:
    """Nothing was begun, so the same command without the deadline is carried out."""
    command_id = unique("cmd")
    past = {"deadline": round(time.time() * 1000) - 1000}
    error = await client.refused(CREATE, {"user_id": "ann"}, command_id=command_id, headers=past)
    assert error["code"] == "deadline_exceeded"
    await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id)


async def test_without_reply_to_it_is_carried_out(client: Client, inbox: Inbox) -> None:
    """All the same."""
    session_id = unique()
    await client.send(command(CREATE, {"user_id": "ann", "session_id": session_id}), reply_to=None)
    created = await inbox.first(of_session(session_id, "june.session.created.v1"))
    assert created.data["session"]["session_id"] == session_id


async def test_a_reply_to_that_does_not_exist_holds_nothing_up(client: Client, inbox: Inbox) -> None:
    """The command is carried out, its answer is nobody's, and the queue goes on."""
    session_id = unique()
    body = command(CREATE, {"user_id": "ann", "session_id": session_id})
    await client.send(body, reply_to="no.such.queue." + session_id)
    await inbox.first(of_session(session_id, "june.session.created.v1"))
    again = await client.ask_bytes(body)
    assert again["ok"] is True
    assert again["result"]["session"]["session_id"] == session_id


async def test_events_of_a_command_name_it(client: Client, inbox: Inbox) -> None:
    """An event's `correlation_id` is the id of the command that caused it; properties mirror the envelope."""
    command_id = unique("cmd")
    result = await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id)
    session_id = result["session"]["session_id"]
    created = await inbox.first(of_session(session_id, "june.session.created.v1"))
    assert created.data == {"session": result["session"]}
    assert created.message.correlation_id == command_id
    assert (created.exchange, created.routing_key) == ("june.events", "june.session.created.v1")
    assert created.envelope["partitionkey"] == result["session"]["room_name"]
    assert re.fullmatch(r"\d{20}", created.envelope["sequence"])
    mirrors(created.message, created.envelope)


async def test_two_hundred_at_once_are_all_answered(june: Installation, client: Client) -> None:
    """Each with its own session, and each room is there."""
    results = await asyncio.gather(
        *(client.ok(CREATE, {"user_id": f"user-{number}"}, within_s=60) for number in range(200))
    )
    assert [result["session"]["user_id"] for result in results] == [f"user-{n}" for n in range(200)]
    sids = {june.livekit.room_sid(result["session"]["room_name"]) for result in results}
    assert sids == {result["session"]["livekit_room_sid"] for result in results}
    assert len(sids) == 200


async def test_create_and_delete_at_once_are_never_mixed(client: Client) -> None:
    """A delete that meets the create is before or after it, and says so in words that a client understands."""
    for _ in range(10):
        session_id = unique()
        made, gone = await asyncio.gather(
            client.ask(CREATE, {"user_id": "ann", "session_id": session_id}),
            client.ask(DELETE, {"session_id": session_id}),
        )
        assert made["ok"] is True
        session = (await client.ok(GET, {"session_id": session_id}))["session"]
        if gone["ok"]:
            assert session["status"] == "ended"
        else:
            assert gone["error"]["code"] == "not_found"
            assert session["status"] == "created"
