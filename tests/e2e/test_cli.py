"""`june` as an operator uses it: processes against a real RabbitMQ, a real worker and ingress, and a fake LiveKit."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from cli.commands.up import SAMPLES
from deploy.servers import RabbitMQ, free_port, free_ports
from tests.e2e.client import Client, command
from tests.e2e.command_line import June
from tests.e2e.installation import Installation
from tests.support.polling import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDS_WITHIN_S = 60
SERVERS_WITHIN_S = 240


@pytest_asyncio.fixture(loop_scope="module")
async def june(installation: Installation) -> AsyncIterator[June]:
    """The command line beside the installation. No dead letter is left to the next test."""
    june = June(env={**installation.parts.env, "JUNE_API_DEV": "true"})
    yield june
    await june("dead", "drop", "--all")


async def test_a_session_from_its_making_to_its_end(june: June, installation: Installation) -> None:
    """Create, look, list, invite, put out, delete; each as June answers it."""
    made = (await june("session", "create", "ann", "--metadata", '{"plan": "é"}', "--json")).only
    session = made["session"]["session_id"]
    room = made["session"]["room_name"]
    installation.livekit.join_by_token(made["access_token"])

    assert (await june("session", "get", session)).out.startswith(f"session_id\t{session}\n")
    listed = await june("session", "list", "--user-id", "ann", "--room-name", room, "--json")
    assert listed.only["metadata"] == {"plan": "é"}
    assert (await june("room", session, "--json")).only["room"]["name"] == room
    assert (await june("participants", session, "--json")).only["identity"] == "ann"
    guest = (await june("guest-token", session, "Bob", "--json")).only
    assert guest["room_name"] == room
    assert (await june("kick", session, "ann", "--json")).only == {"removed": True}
    assert (await june("participants", session)).out == ""

    ended = (await june("session", "delete", session, "--json")).only
    assert (ended["status"], ended["end_reason"]) == ("ended", "deleted")
    refused = await june("guest-token", session, "Bob")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("june: failed_precondition: ")


async def test_june_names_each_wrong_field(june: June) -> None:
    """Its own words, exit code 1."""
    ran = await june("session", "create", "ann", "--token-ttl-s", "1", "--max-participants", "0")
    assert ran.code == 1
    assert {line.split(":")[0].strip() for line in ran.err.splitlines()[1:]} == {
        "token_ttl_s",
        "max_participants",
    }


async def test_no_worker_is_said_within_the_time_that_was_given(
    june: June, rabbitmq_server: RabbitMQ
) -> None:
    """Exit code 3, with how to repeat the very same command."""
    url = rabbitmq_server.new_vhost()
    try:
        ran = await June(env={"JUNE_AMQP_URL": url})("session", "create", "ann", "--timeout-s", "1")
    finally:
        rabbitmq_server.delete_vhost(url)
    assert (ran.code, ran.out) == (3, "")
    assert "june doctor" in ran.err


async def test_watch_tells_what_happens_as_it_happens(june: June, client: Client) -> None:
    """Live, one session's events in their order, as envelopes."""
    async with june.running("watch", "--type", "june.session.*", "--limit", "3", "--json") as watching:
        told = asyncio.create_task(watching.communicate())
        # It cannot say that it listens without printing to a script's output: so something happens until it has heard.
        async with asyncio.timeout(ENDS_WITHIN_S):
            while not told.done():
                made = await client.ok("june.session.create.v1", {"user_id": "watched"})
                await client.ok("june.session.delete.v1", {"session_id": made["session"]["session_id"]})
                await asyncio.sleep(0.05)
        out, err = await told
    assert watching.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 3
    assert {line["type"] for line in lines} == {"june.session.created.v1", "june.session.ended.v1"}
    assert all(line["source"] == "june" for line in lines)


async def test_watch_since_tells_what_was(june: June, client: Client) -> None:
    """From the stream, once each, and it ends at the present where it is told to."""
    made = await client.ok("june.session.create.v1", {"user_id": "was"})
    session = made["session"]["session_id"]
    await client.ok("june.session.delete.v1", {"session_id": session})
    for since in ("first", "10m"):
        ran = await june("watch", "--since", since, "--no-follow", "--session", session)
        assert ran.code == 0, ran
        assert [line.split("\t")[2] for line in ran.out.splitlines()] == [
            "june.session.created.v1",
            "june.session.ended.v1",
        ]
    assert (await june("watch", "--since", "10m", "--no-follow", "--session", "nobody")).out == ""


async def test_ctrl_c_ends_a_watch_in_order(june: June, client: Client) -> None:
    """Exit code 0, no traceback."""
    await client.ok("june.session.create.v1", {"user_id": "to be told"})
    async with june.running("watch", "--since", "first") as watching:
        assert watching.stdout is not None
        async with asyncio.timeout(ENDS_WITHIN_S):
            await watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, err = await watching.communicate()
    assert (watching.returncode, err.decode()) == (0, "")


async def test_dead_letters_are_seen_sent_back_and_thrown_away(june: June, client: Client) -> None:
    """Looking leaves them; a replay of what is still wrong brings it back under another key; drop is for good."""
    await client.publish("june.commands", "june.session.create.v1", b"not json", message_id="broken-1")
    (letter,) = await _letters(june, 1)
    assert (letter["message_id"], letter["origin_exchange"]) == ("broken-1", "june.commands")
    assert letter["reason"]
    assert 0 <= letter["age_s"] < ENDS_WITHIN_S
    assert [one["key"] for one in await _letters(june, 1)] == [letter["key"]]
    shown = (await june("dead", "show", letter["key"], "--json")).only
    assert (shown["body"], shown["headers"]["reason"]) == ("not json", letter["reason"])

    sent = (await june("dead", "replay", letter["key"], "--json")).only
    assert (sent["key"], sent["done"]) == (letter["key"], "sent back")
    again = await _until_other(june, letter["key"])
    assert again["message_id"] == "broken-1"
    assert (await june("dead", "replay", letter["key"])).code == 1

    dropped = await june("dead", "drop", again["key"])
    assert (dropped.code, dropped.out.split("\t")[1]) == (0, "dropped")
    assert await _letters(june, 0) == []


async def test_a_replay_does_nothing_twice(june: June, client: Client, installation: Installation) -> None:
    """A command that was carried out after all is not carried out again when its dead letter goes back."""
    body = command("june.session.create.v1", {"user_id": "once"}, command_id="replayed")
    made = await client.ask_bytes(body)
    headers = {"origin_exchange": "june.commands", "origin_routing_key": "june.session.create.v1"}
    for _ in range(2):
        await client.publish(
            "june.dead", "june.session.create.v1", body, message_id="replayed", headers=headers
        )
        await _letters(june, 1)
        assert (await june("dead", "replay", "--all")).code == 0
        assert await _letters(june, 0) == []
    listed = await june("session", "list", "--user-id", "once", "--json")
    assert listed.only["session_id"] == made["result"]["session"]["session_id"]


async def test_a_letter_that_cannot_go_back_is_kept(june: June, client: Client) -> None:
    """One without an origin stays, and says why; exit code 1."""
    await client.publish("june.dead", "x", b"{}", headers={"origin_exchange": "", "origin_routing_key": ""})
    (letter,) = await _letters(june, 1)
    ran = await june("dead", "replay", "--all", "--json")
    assert (ran.code, ran.json[0]["done"]) == (1, "kept")
    assert [one["key"] for one in await _letters(june, 1)] == [letter["key"]]
    assert (await june("dead", "drop", "--all")).code == 0


async def test_up_runs_the_parts_and_drains_them(
    june: June, rabbitmq_server: RabbitMQ, tmp_path: Path
) -> None:
    """Each is told as ready; SIGINT ends them in order, with 0."""
    url = rabbitmq_server.new_vhost()
    env = {
        **june.env,
        "JUNE_AMQP_URL": url,
        "JUNE_DATABASE_URL": f"sqlite:///{tmp_path}/up.db",
        "JUNE_SPOOL_DIR": str(tmp_path / "up-spool"),
        "JUNE_ADMIN_PORT": str(free_ports(3)),
        "JUNE_INGRESS_PORT": str(free_port()),
        "JUNE_API_PORT": str(free_port()),
    }
    try:
        async with June(env=env).running("up", "--json", "--log-dir", str(tmp_path / "logs")) as up:
            assert up.stdout is not None
            ready: set[str] = set()
            async with asyncio.timeout(ENDS_WITHIN_S):
                while not {"worker", "webhook_ingress"} <= ready:
                    line = await up.stdout.readline()
                    assert line, (await up.communicate())[1].decode()
                    told = json.loads(line)
                    ready |= {told["part"]} if told["state"] == "ready" else set()
                up.send_signal(signal.SIGINT)
                _, err = await up.communicate()
            assert up.returncode == 0, err.decode()
            assert f"Live page: http://127.0.0.1:{env['JUNE_API_PORT']}/" in err.decode()
        for name in ("worker", "webhook_ingress"):
            assert "process.stopped" in (tmp_path / "logs" / f"{name}.log").read_text()
    finally:
        rabbitmq_server.delete_vhost(url)


async def test_up_brings_servers_and_sample_services(june: June, tmp_path: Path) -> None:
    """From nothing to services that take jobs; how to ask is told; all of it is gone after Ctrl-C."""
    env = {
        "JUNE_DATABASE_URL": f"sqlite:///{tmp_path}/up.db",
        "JUNE_SPOOL_DIR": str(tmp_path / "up-spool"),
        "JUNE_ADMIN_PORT": str(free_ports(3)),
        "JUNE_INGRESS_PORT": str(free_port()),
        "JUNE_API_PORT": str(free_port()),
    }
    wanted = {"webhook_ingress", "worker", "session_api", *SAMPLES}
    arguments = ("up", "--servers", "--samples", "--json", "--log-dir", str(tmp_path / "logs"))
    async with June(env=env).running(*arguments) as up:
        assert up.stdout is not None
        well: set[str] = set()
        async with asyncio.timeout(SERVERS_WITHIN_S):
            while well != wanted:
                line = await up.stdout.readline()
                assert line, (await up.communicate())[1].decode()
                told = json.loads(line)
                well |= {told["part"]} if told["state"] in {"ready", "running"} else set()
            for name in SAMPLES:
                log = tmp_path / "logs" / f"{name}.log"
                await until(lambda log=log: log.exists() and "takes june." in log.read_text())  # type: ignore[misc]
            up.send_signal(signal.SIGINT)
            _, err = await up.communicate()
        assert up.returncode == 0, err.decode()
    told_how = dict(re.findall(r"export (\w+)=(\S+)", err.decode()))
    assert {"JUNE_AMQP_URL", "LIVEKIT_WS_URL", "LIVEKIT_API_SECRET"} <= set(told_how)
    for address in (told_how["JUNE_AMQP_URL"], told_how["LIVEKIT_WS_URL"]):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(urlsplit(address).hostname, urlsplit(address).port)


async def _letters(june: June, count: int) -> list[Any]:
    """The dead letters, once there are so many."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        while True:
            ran = await june("dead", "list", "--json")
            assert ran.code == 0, ran
            if len(ran.json) == count:
                return ran.json


async def _until_other(june: June, key: str) -> Any:
    async with asyncio.timeout(ENDS_WITHIN_S):
        while True:
            for letter in await _letters(june, 1):
                if letter["key"] != key:
                    return letter
