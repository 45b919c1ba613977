"""`june doctor` beside real parts, a real RabbitMQ and a fake LiveKit, with one thing after the other broken."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest

import cli.checks.livekit
from cli.checks.finding import Verdict
from deploy.servers import RabbitMQ, free_port
from deploy.servers.rabbitmq_management import Management
from tests.e2e.command_line import June
from tests.e2e.installation import Installation

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDS_WITHIN_S = 60


@pytest.fixture
def june(installation: Installation) -> June:
    """The command line beside the installation."""
    return June(env={**installation.parts.env, "JUNE_API_DEV": "true"})


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


async def test_doctor_finds_that_nobody_calls_us(
    june: June, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiveKit answers, and its webhooks go elsewhere: what its `webhook.urls` must have is said."""
    monkeypatch.setattr(cli.checks.livekit, "WEBHOOK_WITHIN", timedelta(seconds=1))
    installation.livekit.drop_webhooks()
    try:
        wrong = _bad(await june("doctor", "--json"))
    finally:
        installation.livekit.drop_webhooks(lambda _event: False)
    assert set(wrong) == {"webhooks"}
    assert "webhook.urls" in wrong["webhooks"]["mend"]


async def test_doctor_finds_livekit_away(june: June, installation: Installation) -> None:
    """And does not wait for a webhook of it."""
    await installation.livekit.down()
    try:
        ran = await june("doctor", "--json")
    finally:
        await installation.livekit.up()
    assert set(_bad(ran)) == {"LiveKit"}
    assert {one["about"]: one["verdict"] for one in ran.json}["webhooks"] == "skipped"


async def test_doctor_finds_that_nothing_runs(june: June, rabbitmq_server: RabbitMQ) -> None:
    """An empty broker is looked at, and stays empty: queues are missing, no worker is there."""
    url = rabbitmq_server.new_vhost()
    try:
        for _ in range(2):
            wrong = _bad(await June(env={**june.env, "JUNE_AMQP_URL": url})("doctor", "--json"))
            assert {"topology", "workers"} <= set(wrong)
            assert "june.commands.v1" in wrong["topology"]["text"]
    finally:
        rabbitmq_server.delete_vhost(url)


async def test_doctor_finds_a_queue_that_is_made_otherwise(june: June, installation: Installation) -> None:
    """By its name, with what to do; the queue is left as it is."""
    async with await aio_pika.connect(installation.amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete("june.tts.jobs.v1")
        await channel.declare_queue("june.tts.jobs.v1", durable=True)
        try:
            wrong = _bad(await june("doctor", "--json"))
        finally:
            await channel.queue_delete("june.tts.jobs.v1")
    assert set(wrong) == {"topology"}
    assert "june.tts.jobs.v1" in wrong["topology"]["text"]
    assert wrong["topology"]["mend"]


def _bad(ran: Any) -> dict[str, Any]:
    """What is wrong; the exit code says so, too."""
    assert ran.code == 1, ran
    return {one["about"]: one for one in ran.json if one["verdict"] == "bad"}
