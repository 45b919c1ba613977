"""What commands do, from outside: sessions, people, names and copies, by a client that knows contract.md §2 alone."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.client import Client, Inbox, fields, of_session
from tests.e2e.installation import Installation
from tests.e2e.names import CREATE, DELETE, GET, LIST, unique
from tests.e2e.shapes import GUEST_ANSWER, SESSION, SESSION_ANSWER, TOKENS, moment

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Create, get, delete.


async def test_create_answers_with_every_field(june: Installation, client: Client) -> None:
    """A session with nothing but a user has every field, with the documented defaults and nulls."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = await client.ok(CREATE, {"user_id": "ann"})
    assert set(result) == SESSION_ANSWER
    session = result["session"]
    assert set(session) == SESSION
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
    token = june.claims(result["access_token"])
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
    token = june.claims(result["access_token"])
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
    assert june.claims(found["access_token"])["sub"] == found["identity"] == "ann"
    named = await client.ok(GET, {"session_id": session_id, "identity": "b o b/🙂"})
    assert june.claims(named["access_token"])["sub"] == named["identity"] == "b o b/🙂"
    june.livekit.join_by_token(named["access_token"])


async def test_a_session_is_active_when_somebody_joins(
    june: Installation, client: Client, inbox: Inbox
) -> None:
    """From the first participant on, with the moment, and said by an event."""
    created = await client.ok(CREATE, {"user_id": "ann"})
    session_id = created["session"]["session_id"]
    june.livekit.join_by_token(created["access_token"])
    await inbox.first(of_session(session_id, "june.session.started.v1"))
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
    assert found == result | dict.fromkeys(TOKENS)
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
    assert set(first) == GUEST_ANSWER
    assert first["identity"] != second["identity"]
    assert first["room_name"] == session["room_name"]
    grants = june.claims(second["access_token"])["video"]
    assert (grants["canPublish"], grants["canSubscribe"], grants["canPublishData"]) == (False, True, False)
    assert june.claims(second["access_token"])["name"] == "Bob"
    assert june.livekit.join_by_token(first["access_token"])


async def test_participants_are_listed_and_removed(june: Installation, client: Client) -> None:
    """As LiveKit has them, with tracks, without June's own bots; who was never there is not found."""
    session = (await client.ok(CREATE, {"user_id": "ann"}))["session"]
    room, about = session["room_name"], {"session_id": session["session_id"]}
    sid = june.livekit.join(room, "ann", name="Ann", metadata="{}")
    track = june.livekit.publish(room, "ann", muted=True)
    june.livekit.join(room, "june-stt-job_1", kind="agent", hidden=True)
    (ann,) = (await client.ok("june.participant.list.v1", about))["participants"]
    moment(ann.pop("joined_at"))
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
    assert june.claims(second["access_token"])["sub"] == second["identity"]
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
    assert [again[name] for name in TOKENS] == [None] * 4
