"""Commands from outside: what contract.md §§1, 2 and 6 say, by a client that knows nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.e2e.client import CONTENT_TYPE, Client, Inbox, Received, command, fields
from tests.e2e.installation import Installation

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = "june.session.create.v1"
GET = "june.session.get.v1"
DELETE = "june.session.delete.v1"
LIST = "june.session.list.v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SESSION_FIELDS = {
    "session_id",
    "user_id",
    "room_name",
    "livekit_room_sid",
    "status",
    "origin",
    "created_at",
    "started_at",
    "ended_at",
    "end_reason",
    "metadata",
    "stt",
    "ai",
}
TOKEN_FIELDS = ("access_token", "identity", "livekit_url", "token_expires_at")


def unique(prefix: str = "s") -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def claims(june: Installation, token: str) -> dict[str, Any]:
    """What a token says, once its signature is verified."""
    found: dict[str, Any] = jwt.decode(token, june.livekit.api_secret, algorithms=["HS256"])
    return found


def moment(text: str) -> datetime:
    """A time as the contract writes it."""
    assert TIME.fullmatch(text), text
    return datetime.fromisoformat(text)


# Create, get, delete.


async def test_create_answers_with_every_field(june: Installation, client: Client) -> None:
    """A session with nothing but a user has every field, with the documented defaults and nulls."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = await client.ok(CREATE, {"user_id": "ann"})
    assert set(result) == {"session", *TOKEN_FIELDS}
    session = result["session"]
    assert set(session) == SESSION_FIELDS
    assert session["user_id"] == result["identity"] == "ann"
    assert session["status"] == "created"
    assert session["origin"] == "june"
    assert session["livekit_room_sid"] == june.livekit.room_sid(session["room_name"])
    assert session["stt"] == {"enabled": True, "language": "en"}
    assert session["ai"] == {"enabled": True, "speak": True}
    nulls = ("started_at", "ended_at", "end_reason", "metadata")
    assert [session[name] for name in nulls] == [None] * 4
    assert result["livekit_url"] == "wss://livekit.example.org"
    assert before <= moment(session["created_at"]) <= datetime.now(UTC)
    lasts = moment(result["token_expires_at"]) - moment(session["created_at"])
    assert timedelta(seconds=899) <= lasts <= timedelta(seconds=910)


async def test_create_keeps_what_is_asked_for(june: Installation, client: Client) -> None:
    """Every field of a create is told back, or is in the room as LiveKit has it."""
    asked = {
        "user_id": "Zoë 🙂",
        "session_id": unique("all:of_it."),
        "room_name": unique("Besprechung/ü *#"),
        "display_name": "Ann",
        "metadata": {"order": 7, "note": "grüezi", "deep": [{"a": None}]},
        "empty_timeout_s": 77,
        "departure_timeout_s": 7,
        "max_participants": 5,
        "token_ttl_s": 60,
        "stt": {"enabled": False, "language": "de-CH"},
        "ai": {"enabled": False, "speak": False},
        "agents": [{"agent_name": "greeter", "metadata": "hi"}],
    }
    session = (result := await client.ok(CREATE, asked))["session"]
    for name in ("user_id", "session_id", "room_name", "metadata", "stt", "ai"):
        assert session[name] == asked[name]
    room = (await client.ok("june.room.get.v1", {"session_id": asked["session_id"]}))["room"]
    assert room["name"] == asked["room_name"]
    assert room["sid"] == session["livekit_room_sid"]
    for name in ("empty_timeout_s", "departure_timeout_s", "max_participants"):
        assert room[name] == asked[name]
    assert room["metadata"] == ""
    assert june.livekit.dispatched(str(asked["room_name"])) == [("greeter", "hi")]
    token = claims(june, result["access_token"])
    assert token["name"] == "Ann"
    assert token["exp"] - token["nbf"] == 60


async def test_rooms_have_the_documented_timeouts(client: Client) -> None:
    """`empty_timeout_s` is as long as the token works, `departure_timeout_s` is 20."""
    session = (await client.ok(CREATE, {"user_id": "ann", "token_ttl_s": 1234}))["session"]
    room = (await client.ok("june.room.get.v1", {"session_id": session["session_id"]}))["room"]
    assert (room["empty_timeout_s"], room["departure_timeout_s"], room["max_participants"]) == (1234, 20, 0)


async def test_a_token_has_exactly_the_promised_grants(june: Installation, client: Client) -> None:
    """It is for one room and one identity, of kind standard, for 900 s, and gives no grant beside."""
    result = await client.ok(CREATE, {"user_id": "ann"})
    token = claims(june, result["access_token"])
    assert token["video"] == {
        "roomJoin": True,
        "room": result["session"]["room_name"],
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
    }
    assert (token["iss"], token["sub"]) == (june.livekit.api_key, "ann")
    assert token["exp"] - token["nbf"] == 900
    assert token.get("kind", "standard") == "standard"
    assert set(token) <= {"iss", "sub", "iat", "nbf", "exp", "video", "kind", "name", "identity"}
    assert moment(result["token_expires_at"]).timestamp() == pytest.approx(token["exp"], abs=1)


async def test_get_answers_as_create_did(june: Installation, client: Client) -> None:
    """The same session and shape, with a token that works; for another identity when one is named."""
    created = await client.ok(CREATE, {"user_id": "ann", "token_ttl_s": 120})
    session_id = created["session"]["session_id"]
    found = await client.ok(GET, {"session_id": session_id})
    assert found["session"] == created["session"]
    assert claims(june, found["access_token"])["sub"] == found["identity"] == "ann"
    named = await client.ok(GET, {"session_id": session_id, "identity": "b o b/🙂"})
    assert claims(june, named["access_token"])["sub"] == named["identity"] == "b o b/🙂"
    june.livekit.join_by_token(named["access_token"])


async def test_a_session_is_active_when_somebody_joins(
    june: Installation, client: Client, inbox: Inbox
) -> None:
    """From the first participant on, with the moment, and said by an event."""
    created = await client.ok(CREATE, {"user_id": "ann"})
    session_id = created["session"]["session_id"]
    june.livekit.join_by_token(created["access_token"])
    await inbox.first(_about(session_id, "june.session.started.v1"))
    session = (await client.ok(GET, {"session_id": session_id}))["session"]
    assert session["status"] == "active"
    assert moment(session["started_at"]) >= moment(session["created_at"])


async def test_delete_ends_the_session_and_its_room(june: Installation, client: Client) -> None:
    """The room is gone when the answer is there; later answers have no token, and the name is free."""
    room_name = unique("room")
    created = (await client.ok(CREATE, {"user_id": "ann", "room_name": room_name}))["session"]
    session_id = created["session_id"]
    assert june.livekit.room_sid(room_name)
    result = await client.ok(DELETE, {"session_id": session_id, "reason": "no more"})
    assert set(result) == {"session"}
    assert (result["session"]["status"], result["session"]["end_reason"]) == ("ended", "deleted")
    assert moment(result["session"]["ended_at"]) >= moment(created["created_at"])
    assert june.livekit.room_sid(room_name) is None
    again = await client.ok(DELETE, {"session_id": session_id})
    assert again == result
    found = await client.ok(GET, {"session_id": session_id})
    assert found == result | dict.fromkeys(TOKEN_FIELDS)
    assert (await client.ok("june.room.get.v1", {"session_id": session_id})) == {"room": None}
    await client.ok(CREATE, {"user_id": "bob", "room_name": room_name})


async def test_an_ended_session_takes_no_guests(client: Client) -> None:
    """Participants and guest tokens of an ended session are `failed_precondition`."""
    session_id = (await client.ok(CREATE, {"user_id": "ann"}))["session"]["session_id"]
    await client.ok(DELETE, {"session_id": session_id})
    for type_, more in (
        ("june.participant.list.v1", {}),
        ("june.participant.remove.v1", {"identity": "ann"}),
        ("june.guest_token.create.v1", {"guest_name": "Bob"}),
    ):
        error = await client.refused(type_, {"session_id": session_id, **more})
        assert (error["code"], error["retryable"]) == ("failed_precondition", False)


@pytest.mark.parametrize(
    ("type_", "more"),
    [
        (GET, {}),
        (DELETE, {}),
        ("june.room.get.v1", {}),
        ("june.participant.list.v1", {}),
        ("june.participant.remove.v1", {"identity": "ann"}),
        ("june.guest_token.create.v1", {"guest_name": "Bob"}),
    ],
)
async def test_an_unknown_session_is_not_found(client: Client, type_: str, more: dict[str, Any]) -> None:
    """By every command that names one."""
    error = await client.refused(type_, {"session_id": unique("none"), **more})
    assert (error["code"], error["retryable"], error["details"]) == ("not_found", False, [])


async def test_a_guest_gets_exactly_what_is_asked_for(june: Installation, client: Client) -> None:
    """Two guests of one name have identities of their own; grants are those that were asked for."""
    session = (await client.ok(CREATE, {"user_id": "ann"}))["session"]
    asked = {"session_id": session["session_id"], "guest_name": "Bob"}
    first = await client.ok("june.guest_token.create.v1", asked)
    second = await client.ok(
        "june.guest_token.create.v1", asked | {"can_publish": False, "can_publish_data": False, "ttl_s": 60}
    )
    assert set(first) == {"access_token", "identity", "room_name", "livekit_url", "expires_at"}
    assert first["identity"] != second["identity"]
    assert first["room_name"] == session["room_name"]
    grants = claims(june, second["access_token"])["video"]
    assert (grants["canPublish"], grants["canSubscribe"], grants["canPublishData"]) == (False, True, False)
    assert claims(june, second["access_token"])["name"] == "Bob"
    assert june.livekit.join_by_token(first["access_token"])


async def test_participants_are_listed_and_removed(june: Installation, client: Client) -> None:
    """As LiveKit has them, with tracks, without June's own bots; who was never there is not found."""
    session = (await client.ok(CREATE, {"user_id": "ann"}))["session"]
    room, about = session["room_name"], {"session_id": session["session_id"]}
    sid = june.livekit.join(room, "ann", name="Ann", metadata="{}")
    track = june.livekit.publish(room, "ann", muted=True)
    june.livekit.join(room, "june-stt-job_1", kind="agent", hidden=True)
    (ann,) = (await client.ok("june.participant.list.v1", about))["participants"]
    assert TIME.fullmatch(ann.pop("joined_at"))
    assert ann == {
        "sid": sid,
        "identity": "ann",
        "name": "Ann",
        "kind": "standard",
        "state": "active",
        "metadata": "{}",
        "tracks": [
            {
                "sid": track,
                "type": "audio",
                "source": "microphone",
                "name": "mic",
                "muted": True,
                "mime_type": "audio/red",
            }
        ],
    }
    assert await client.ok("june.participant.remove.v1", about | {"identity": "ann"}) == {"removed": True}
    assert "ann" not in june.livekit.identities(room)
    assert (await client.ok(GET, about))["access_token"] is None
    error = await client.refused("june.participant.remove.v1", about | {"identity": "nobody"})
    assert error["code"] == "not_found"
    assert (await client.ok(GET, about | {"identity": "ann"}))["access_token"]


async def test_lists_are_newest_first_and_paged(client: Client) -> None:
    """Pages meet without a gap or a copy, though sessions are made in between."""
    user = unique("user")
    made = [(await client.ok(CREATE, {"user_id": user}))["session"]["session_id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = await client.ok(LIST, {"user_id": user, "limit": 2, **more})
        seen += [session["session_id"] for session in page["sessions"]]
        if (cursor := page["next_cursor"]) is None:
            break
        await client.ok(CREATE, {"user_id": user})
    assert seen == made[::-1]
    await client.ok(DELETE, {"session_id": made[2]})
    ended = await client.ok(LIST, {"user_id": user, "status": "ended"})
    assert [session["session_id"] for session in ended["sessions"]] == [made[2]]


# One name, one session.


async def test_a_session_id_is_used_once(client: Client) -> None:
    """A second create of it is `already_exists`, also after the end."""
    session_id = unique()
    await client.ok(CREATE, {"user_id": "ann", "session_id": session_id})
    for _ in range(2):
        error = await client.refused(CREATE, {"user_id": "ann", "session_id": session_id})
        assert (error["code"], error["retryable"]) == ("already_exists", False)
        await client.ok(DELETE, {"session_id": session_id})


async def test_a_room_name_belongs_to_one_live_session(client: Client) -> None:
    """A second create with it is `already_exists` and leaves nothing behind."""
    room_name, other = unique("room"), unique()
    await client.ok(CREATE, {"user_id": "ann", "room_name": room_name})
    error = await client.refused(CREATE, {"user_id": "bob", "room_name": room_name, "session_id": other})
    assert error["code"] == "already_exists"
    assert (await client.refused(GET, {"session_id": other}))["code"] == "not_found"


async def test_of_many_for_one_room_name_one_wins(client: Client, inbox: Inbox) -> None:
    """Twenty creates for one room name at once: one session, nineteen times `already_exists`."""
    room_name = unique("room")
    answers = await asyncio.gather(
        *(client.ask(CREATE, {"user_id": f"user-{number}", "room_name": room_name}) for number in range(20))
    )
    codes = sorted(answer["error"]["code"] if not answer["ok"] else "ok" for answer in answers)
    assert codes == ["already_exists"] * 19 + ["ok"]
    made = [one for one in inbox.all if one.data.get("session", {}).get("room_name") == room_name]
    assert [one.type for one in made] == ["june.session.created.v1"]


# Idempotency.


async def test_the_same_command_again_has_the_same_result(
    june: Installation, client: Client, inbox: Inbox
) -> None:
    """Nothing is done again, whatever the order of keys; the token is a new one for the same."""
    data = {"user_id": "ann", "metadata": {"a": 1, "b": 2}}
    command_id = unique("cmd")
    first = await client.ok(CREATE, data, command_id=command_id)
    turned = {"metadata": {"b": 2, "a": 1}, "user_id": "ann"}
    second = await client.ok(CREATE, turned, command_id=command_id)
    assert first["session"] == second["session"]
    assert claims(june, second["access_token"])["sub"] == second["identity"]
    other_source = await client.ok(CREATE, data, command_id=command_id, source="others")
    assert other_source["session"]["session_id"] != first["session"]["session_id"]
    created = [one for one in inbox.all if one.type == "june.session.created.v1"]
    ids = [one.data["session"]["session_id"] for one in created]
    assert ids == [first["session"]["session_id"], other_source["session"]["session_id"]]


async def test_fifty_copies_at_once_are_one_command(client: Client, inbox: Inbox) -> None:
    """All get the same session, and it is made once."""
    command_id = unique("cmd")
    results = await asyncio.gather(
        *(client.ok(CREATE, {"user_id": "ann"}, command_id=command_id) for _ in range(50))
    )
    assert len({json.dumps(result["session"], sort_keys=True) for result in results}) == 1
    session_id = results[0]["session"]["session_id"]
    about = [one for one in inbox.all if one.envelope["subject"] == session_id]
    assert [one.type for one in about] == ["june.session.created.v1"]


async def test_a_key_used_for_something_else_is_refused(client: Client) -> None:
    """Other data, or another type, under the same source and id is `invalid_argument`; the first still answers."""
    command_id = unique("cmd")
    first = await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id)
    for type_, data in ((CREATE, {"user_id": "bob"}), (GET, {"session_id": first["session"]["session_id"]})):
        error = await client.refused(type_, data, command_id=command_id)
        assert (error["code"], fields(error)) == ("invalid_argument", ["id"])
    assert (await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id))["session"] == first["session"]


async def test_an_answer_after_the_end_has_no_token(client: Client) -> None:
    """The copy of a create whose session has ended is answered without one."""
    command_id = unique("cmd")
    created = await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id)
    await client.ok(DELETE, {"session_id": created["session"]["session_id"]})
    again = await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id)
    assert [again[name] for name in TOKEN_FIELDS] == [None] * 4


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
    _mirrors(reply)
    assert reply.message.correlation_id == correlation_id


async def test_an_error_is_an_envelope(client: Client) -> None:
    """With the same attributes, and the error in full."""
    reply = await client.reply(await client.send(command(CREATE, {})))
    assert set(reply.data) == {"ok", "command_id", "error"}
    assert set(reply.data["error"]) == {"code", "message", "retryable", "details"}
    assert all(set(detail) == {"field", "problem"} for detail in reply.data["error"]["details"])
    assert reply.envelope["subject"] is None
    _mirrors(reply)


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
    created = await inbox.first(_about(session_id, "june.session.created.v1"))
    assert created.data["session"]["session_id"] == session_id


async def test_a_reply_to_that_does_not_exist_holds_nothing_up(client: Client, inbox: Inbox) -> None:
    """The command is carried out, its answer is nobody's, and the queue goes on."""
    session_id = unique()
    body = command(CREATE, {"user_id": "ann", "session_id": session_id})
    await client.send(body, reply_to="no.such.queue." + session_id)
    await inbox.first(_about(session_id, "june.session.created.v1"))
    again = await client.ask_bytes(body)
    assert again["ok"] is True
    assert again["result"]["session"]["session_id"] == session_id


async def test_events_of_a_command_name_it(client: Client, inbox: Inbox) -> None:
    """An event's `correlation_id` is the id of the command that caused it; properties mirror the envelope."""
    command_id = unique("cmd")
    result = await client.ok(CREATE, {"user_id": "ann"}, command_id=command_id)
    session_id = result["session"]["session_id"]
    created = await inbox.first(_about(session_id, "june.session.created.v1"))
    assert created.data == {"session": result["session"]}
    assert created.message.correlation_id == command_id
    assert (created.exchange, created.routing_key) == ("june.events", "june.session.created.v1")
    assert created.envelope["partitionkey"] == result["session"]["room_name"]
    assert re.fullmatch(r"\d{20}", created.envelope["sequence"])
    _mirrors(created)


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


def _about(session_id: str, type_: str) -> Any:
    return lambda one: one.type == type_ and one.envelope["subject"] == session_id


def _mirrors(one: Received) -> None:
    envelope, properties = one.envelope, one.message
    assert properties.message_id == envelope["id"]
    assert properties.type == envelope["type"]
    assert properties.content_type == CONTENT_TYPE
    assert properties.delivery_mode == 2
    assert properties.timestamp is not None
    said = moment(envelope["time"])
    assert abs((properties.timestamp - said).total_seconds()) < 5
    assert not [name for name in properties.headers if name.startswith("x-")]
