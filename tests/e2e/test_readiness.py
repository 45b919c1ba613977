"""What `/readyz` says of a part whose broker hangs: a process that stands still, with its connections open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.servers import free_port
from tests.e2e.processes import Parts
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy

WITHIN_S = 4
"""The heartbeat would take twenty."""


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.before(amqp_url) as proxy:
        yield proxy


@pytest.fixture
async def parts(amqp_url: str, proxy: TcpProxy, tmp_path: Path) -> AsyncIterator[Parts]:
    """They reach the broker through the proxy."""
    env = {
        "JUNE_AMQP_URL": proxy.url(amqp_url),
        "JUNE_DATABASE_URL": f"sqlite:///{tmp_path / 'june.db'}",
        "LIVEKIT_WS_URL": f"ws://127.0.0.1:{free_port()}",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret-of-thirty-two-characters-or-more",
        "JUNE_API_DEV": "true",
        "JUNE_INGRESS_PORT": str(free_port()),
        "JUNE_API_PORT": str(free_port()),
        "JUNE_SPOOL_DIR": str(tmp_path / "spool"),
    }
    parts = Parts(env=env, directory=tmp_path)
    yield parts
    parts.kill()


@pytest.mark.parametrize("name", ["worker", "session_api"])
async def test_a_part_that_needs_the_broker_is_not_ready_while_it_hangs(
    parts: Parts, proxy: TcpProxy, name: str
) -> None:
    """Within seconds, and ready again as soon as it goes on, on the connection that it had."""
    part = await parts.start(name)
    proxy.hang()
    said = json.loads(await part.ready(status=503, within_s=WITHIN_S))
    assert said["checks"]["broker"].startswith("RabbitMQ has not answered for ")
    proxy.go_on()
    await part.ready(within_s=WITHIN_S)
    assert "broker.lost" not in part.said


async def test_the_ingress_is_ready_while_its_spool_is(parts: Parts, proxy: TcpProxy) -> None:
    """It says what is wrong with the broker all the same."""
    part = await parts.start("webhook_ingress")
    await until(lambda: "ingress.ready" in part.said)
    proxy.hang()

    async def told() -> bool:
        info: dict[str, Any] = json.loads(await part.ready())["info"]
        return "RabbitMQ has not answered" in info["broker"]

    await until(told, within_s=WITHIN_S)
