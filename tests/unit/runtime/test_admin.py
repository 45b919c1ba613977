"""The admin port."""

import asyncio
import socket

import aiohttp
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from deploy.servers import free_port
from runtime.admin import Readiness, admin_app, serve_admin


async def ok() -> None:
    """An async check that finds nothing wrong."""


async def test_ready_when_every_check_that_decides_is_ok() -> None:
    """Informational checks are told, and decide nothing."""
    readiness = Readiness(checks={"broker": lambda: None, "store": ok}, info={"livekit": lambda: "no answer"})
    async with TestClient(TestServer(admin_app(readiness, CollectorRegistry()))) as client:
        answer = await client.get("/readyz")
        assert answer.status == 200
        assert await answer.json() == {
            "ready": True,
            "checks": {"broker": "ok", "store": "ok"},
            "info": {"livekit": "no answer"},
        }
        assert (await client.get("/livez")).status == 200


async def test_one_reason_is_enough_to_be_not_ready() -> None:
    """503, with the reason of each check: a reason, a failure of the check, and a check that hangs."""

    def broken() -> str | None:
        raise RuntimeError("with a secret")

    async def hangs() -> None:
        await asyncio.Event().wait()

    readiness = Readiness(checks={"a": lambda: "waiting", "b": broken, "c": hangs, "d": ok})
    async with TestClient(TestServer(admin_app(readiness, CollectorRegistry()))) as client:
        answer = await client.get("/readyz")
        assert answer.status == 503
        assert (await answer.json())["checks"] == {
            "a": "waiting",
            "b": "the check failed: RuntimeError",
            "c": "no answer within 1 s",
            "d": "ok",
        }


async def test_metrics_are_those_of_the_registry() -> None:
    """Prometheus' text format, with its content type."""
    registry = CollectorRegistry()
    Counter("june_test", "A test.", registry=registry).inc(3)
    async with TestClient(TestServer(admin_app(Readiness(checks={}), registry))) as client:
        answer = await client.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "june_test_total 3.0" in await answer.text()


async def test_it_serves_while_the_block_runs() -> None:
    """The port answers inside of the block, and is free after it; port 0 serves nothing."""
    port = free_port()
    async with (
        serve_admin("127.0.0.1", port, Readiness(checks={}), CollectorRegistry()),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/livez") as answer,
    ):
        assert answer.status == 200
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    async with serve_admin("127.0.0.1", 0, Readiness(checks={}), CollectorRegistry()):
        pass
