"""Commands that are cut off, doubled and crossed, on several workers and with the database locked."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.client import Client, command
from tests.e2e.installation import JUNE_SENDS, Install
from tests.e2e.names import CREATE, CREATED, DELETE, GET, REMOVE
from tests.support.polling import until

ANSWERED_WITHIN_S = 5.0
SLACK_S = 1.0
"""For the way there and back on a busy machine."""

pytestmark = pytest.mark.timeout(120)


async def test_a_create_whose_worker_is_killed_is_finished_by_another(
    amqp_url: str, install: Install
) -> None:
    """LiveKit has made the room, and nobody is left to hear of it: the room is the session's all the same, once."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        june.livekit.slow(timedelta(seconds=2))
        body = command(
            CREATE, {"user_id": "ann", "session_id": "mine", "agents": [{"agent_name": "greeter"}]}
        )
        asked = await client.send(body)
        await until(lambda: june.livekit.room_sid("mine"))
        june.workers[0].kill()
        june.livekit.slow(timedelta())
        sid = june.livekit.room_sid("mine")
        await june.parts.start("worker")
        session = (await client.reply(asked)).data["result"]["session"]
        assert (session["session_id"], session["livekit_room_sid"]) == ("mine", sid)
        assert (await client.ask_bytes(body))["result"]["session"] == session
        assert june.livekit.dispatched("mine") == [("greeter", "")]
        assert [one.type for one in inbox.all if one.type == CREATED] == [CREATED]


async def test_copies_on_several_workers_ask_each_agent_once(amqp_url: str, install: Install) -> None:
    """However close together they are."""
    async with install(amqp_url, workers=3) as june, Client(june.amqp_url) as client:
        june.livekit.slow(timedelta(seconds=0.1))
        agents = [{"agent_name": "greeter", "metadata": {"a": 1}}, {"agent_name": "scribe"}]
        for number in range(5):
            body = command(CREATE, {"user_id": "ann", "session_id": f"s{number}", "agents": agents})
            answers = await asyncio.gather(*(client.ask_bytes(body) for _ in range(9)))
            assert all(answer["ok"] for answer in answers)
            assert june.livekit.dispatched(f"s{number}") == [("greeter", '{"a":1}'), ("scribe", "")]


async def test_a_room_name_changes_hands_in_one_moment(amqp_url: str, install: Install) -> None:
    """Its session is deleted while another one is made of it, on two workers: both are answered, and the new session's
    room is there."""
    async with install(amqp_url, workers=2) as june, Client(june.amqp_url) as client:
        old = (await client.ok(CREATE, {"user_id": "ann", "room_name": "room"}))["session"]
        for _ in range(20):
            create = {"user_id": "ann", "room_name": "room"}
            gone, made = await asyncio.gather(
                client.ask(DELETE, {"session_id": old["session_id"]}), client.ask(CREATE, create)
            )
            assert gone["result"]["session"]["status"] == "ended"
            if not made["ok"]:
                assert made["error"]["code"] == "already_exists"
                made = await client.ask(CREATE, create)
            old = made["result"]["session"]
            await june.livekit.settled()
            assert june.livekit.room_sid("room") == old["livekit_room_sid"]
            now = (await client.ok(GET, {"session_id": old["session_id"]}))["session"]
            assert now["status"] == "created"


async def test_who_was_removed_and_comes_back_is_out_again_within_a_second(
    amqp_url: str, install: Install
) -> None:
    """By the token that LiveKit still takes, as often as they like, until they are named."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        made = await client.ok(CREATE, {"user_id": "ann", "session_id": "s"})
        june.livekit.join_by_token(made["access_token"])
        await inbox.first(lambda one: one.type == "june.participant.joined.v1")
        await client.ok(REMOVE, {"session_id": "s", "identity": "ann"})
        for _ in range(3):
            june.livekit.join_by_token(made["access_token"])
            await until(lambda: "ann" not in june.livekit.identities("s"), within_s=1)
        again = await client.ok(GET, {"session_id": "s", "identity": "ann"})
        june.livekit.join_by_token(again["access_token"])
        inbox = await client.subscribe(*JUNE_SENDS)
        await june.livekit.settled()
        assert "ann" in june.livekit.identities("s")
        june.livekit.leave("s", "ann")
        await inbox.first(lambda one: one.type == "june.participant.left.v1")
        assert june.livekit.calls.count("RemoveParticipant") == 4


async def test_a_locked_database_is_unavailable_in_time(
    amqp_url: str, install: Install, tmp_path: Path
) -> None:
    """Three hundred commands are answered within 5 s, what is wrong by itself as such; then all goes on at once."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:

        async def asked(number: int) -> str:
            began = time.monotonic()
            wrong = number % 3 == 0
            answer = await client.ask(CREATE, {"user_id": "" if wrong else f"user-{number}"})
            assert time.monotonic() - began < ANSWERED_WITHIN_S + SLACK_S
            assert answer["error"]["retryable"] is not wrong
            return str(answer["error"]["code"])

        with locked(tmp_path / "june.db"):
            codes = await asyncio.gather(*(asked(number) for number in range(300)))
        assert codes == ["unavailable" if number % 3 else "invalid_argument" for number in range(300)]
        await client.ok(CREATE, {"user_id": "ann"}, within_s=ANSWERED_WITHIN_S)
        assert (await client.ok("june.session.list.v1", {"user_id": "user-1"}))["sessions"] == []


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Somebody else writes into the SQLite database, and takes their time."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()
