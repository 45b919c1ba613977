"""`june` as an operator uses it: processes against a real RabbitMQ, a real worker and ingress, and a fake LiveKit."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from cli.checks.finding import Verdict
from cli.main import run
from cli.world import World
from deploy.servers import RabbitMQ, free_port, free_ports
from deploy.servers.rabbitmq_management import Management
from tests.e2e.client import Client, command
from tests.e2e.installation import Installation, installed
from tests.e2e.processes import ROOT, without_ours

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDS_WITHIN_S = 60


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """Its lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def only(self) -> Any:
        """Its one line, of a command that must succeed."""
        assert self.code == 0, self
        (thing,) = self.json
        return thing


@dataclass(frozen=True, kw_only=True)
class June:
    """`june` with an installation's settings."""

    env: Mapping[str, str] = field(repr=False)

    async def __call__(self, *arguments: str) -> Ran:
        """Run it to its end, in a thread with a loop of its own: a process for each would take seconds."""
        out, err = io.StringIO(), io.StringIO()
        world = World(env=self.env, out=out, err=err)
        code = await asyncio.to_thread(run, arguments, world)
        return Ran(code=code, out=out.getvalue(), err=err.getvalue())

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command that is ended with the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "cli", *arguments),
            cwd=ROOT,
            env=without_ours(os.environ) | dict(self.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(
    rabbitmq_server: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """One for all tests here: users and sessions have names of their own, dead letters are thrown away."""
    url = rabbitmq_server.new_vhost()
    async with installed(url, tmp_path_factory.mktemp("june")) as installation:
        yield installation
    rabbitmq_server.delete_vhost(url)


@pytest_asyncio.fixture(loop_scope="module")
async def client(installation: Installation) -> AsyncIterator[Client]:
    """A client that knows the contract alone."""
    async with Client(installation.amqp_url) as client:
        yield client


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


async def test_ctrl_c_ends_a_watch_in_order(june: June) -> None:
    """Exit code 0, no traceback."""
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


@pytest.fixture
def manager(june: June, rabbitmq_server: RabbitMQ) -> June:
    """`june` that can ask RabbitMQ's management API, too."""
    assert rabbitmq_server.management_url
    return June(env={**june.env, "JUNE_RABBITMQ_MANAGEMENT_URL": rabbitmq_server.management_url})


async def test_doctor_finds_an_installation_well(manager: June) -> None:
    """LiveKit really calls us; nobody takes jobs here, which is a warning; the exit code is 0."""
    ran = await manager("doctor", "--json")
    found = {one["about"]: one for one in ran.json}
    assert ran.code == 0, ran
    assert {one["verdict"] for one in ran.json} == {"ok", "warning"}, ran
    assert {about for about, one in found.items() if one["verdict"] == "warning"} == {
        "STT services",
        "AI services",
        "TTS services",
    }
    assert {"webhooks", "database", "spool", "clock", "topology", "alarms", "workers", "policies"} <= set(
        found
    )


async def test_doctor_finds_a_policy_that_loses_messages(
    manager: June, rabbitmq_server: RabbitMQ, installation: Installation
) -> None:
    """As RabbitMQ says that it acts on it, and well again without it."""
    url = urlsplit(installation.amqp_url)
    assert rabbitmq_server.management_url
    api = Management(rabbitmq_server.management_url, url.username or "", url.password or "")
    policy = f"policies{url.path}/short"
    api.call("PUT", policy, {"pattern": "^june", "definition": {"max-length": 10}, "apply-to": "queues"})
    try:
        assert "max-length 10 of the policy short" in await _policies(manager, Verdict.BAD)
    finally:
        api.call("DELETE", policy)
    await _policies(manager, Verdict.OK)


async def _policies(june: June, verdict: Verdict) -> str:
    """What doctor says of them, once the management API has seen the change."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        while True:
            (found,) = [one for one in (await june("doctor", "--json")).json if one["about"] == "policies"]
            if found["verdict"] == verdict:
                return str(found["text"])


async def test_doctor_says_how_to_mend_what_is_wrong(june: June, tmp_path: Path) -> None:
    """A wrong key, no RabbitMQ, a folder that is none: each with what to do; exit code 1."""
    (tmp_path / "file").touch()
    broken = {
        "LIVEKIT_API_SECRET": "another-secret-of-thirty-two-characters",
        "JUNE_AMQP_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/",
        "JUNE_SPOOL_DIR": str(tmp_path / "file"),
        "JUNE_DATABASE_URL": f"sqlite:///{tmp_path}/nowhere/june.db",
    }
    ran = await June(env={**june.env, **broken})("doctor", "--json")
    wrong = {one["about"]: one for one in ran.json if one["verdict"] == "bad"}
    assert ran.code == 1
    assert set(wrong) == {"LiveKit", "RabbitMQ", "spool", "database"}
    assert all(one["mend"] for one in wrong.values())
    assert "LIVEKIT_API_KEY" in wrong["LiveKit"]["mend"]
    assert broken["LIVEKIT_API_SECRET"] not in ran.out


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
