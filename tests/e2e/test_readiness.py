"""What `/readyz` says of a part whose queues are not made yet, or whose broker hangs: a process that stands still, with
its connections open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.processes import Parts, without_livekit
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy

WITHIN_S = 4
"""The heartbeat would take twenty."""


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.before(amqp_url) as proxy:
        yield proxy


@pytest.fixture
def parts(amqp_url: str, proxy: TcpProxy, tmp_path: Path) -> Iterator[Parts]:
    """They reach the broker through the proxy."""
    with without_livekit(proxy.url(amqp_url), tmp_path) as parts:
        yield parts


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


async def test_a_worker_that_is_ready_has_made_its_queues(amqp_url: str, parts: Parts) -> None:
    """Whoever waited for it finds them, in a vhost that was empty."""
    await parts.start("worker")
    async with Client(amqp_url) as client:
        for queue in ("june.rooms.v1.p15", "june.tts.jobs.v1", "june.dead.v1"):
            assert await client.depth(queue) == 0


async def test_the_ingress_is_ready_while_its_spool_is(parts: Parts, proxy: TcpProxy) -> None:
    """It says what is wrong with the broker all the same."""
    part = await parts.start("webhook_ingress")
    await until(lambda: "ingress.ready" in part.said)
    proxy.hang()

    async def told() -> bool:
        info: dict[str, Any] = json.loads(await part.ready())["info"]
        return "RabbitMQ has not answered" in info["broker"]

    await until(told, within_s=WITHIN_S)
