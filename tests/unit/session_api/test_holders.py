"""Who holds a partition, by RabbitMQ's management API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web
from structlog.testing import capture_logs

from session_api.holders import Holders

AMQP_URL = "amqp://june:a%2Fb@broker/my%2Fvhost"


@asynccontextmanager
async def management(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Holders]:
    """The question, put to a server that answers so."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Holders(f"http://127.0.0.1:{runner.addresses[0][1]}/", AMQP_URL)
    finally:
        await runner.cleanup()


def consumer(queue: Any, tag: Any, *, active: Any = True) -> dict[str, Any]:
    """As RabbitMQ tells of it."""
    return {
        "queue": {"name": queue, "vhost": "my/vhost"},
        "consumer_tag": tag,
        "active": active,
        "prefetch_count": 16,
    }


async def test_the_active_consumer_is_the_holder() -> None:
    """The others stand by. It is asked as the broker's user, about the broker's vhost."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        odd: list[Any] = [None, {}, consumer(None, "w"), {"active": True, "queue": []}]
        told = [consumer("p00", "one"), consumer("p00", "two", active=False), consumer("p01", "two"), *odd]
        return web.json_response(told)

    async with management(answer) as holders:
        assert await holders.by_queue() == {"p00": "one", "p01": "two"}
    (request,) = asked
    assert request.raw_path == "/api/consumers/my%2Fvhost"
    assert request.headers["Authorization"] == encode_basic_auth("june", "a/b")


async def test_nobody_is_asked_without_an_address() -> None:
    """It is a help for operators, and no part of June depends on it."""
    assert await Holders(None, AMQP_URL).by_queue() == {}


@pytest.mark.parametrize("what", ["refuses", "is no JSON", "is another thing", "redirects", "is silent"])
async def test_what_cannot_be_had_is_left_out(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, and with one line in the log, however often it is asked."""
    monkeypatch.setattr("session_api.management._WITHIN_S", 0.2)

    async def answer(_request: web.Request) -> web.StreamResponse:
        match what:
            case "refuses":
                return web.Response(status=401)
            case "redirects":
                raise web.HTTPFound("/elsewhere")
            case "is silent":
                await asyncio.Event().wait()
        return (
            web.json_response({"error": "odd"}) if what == "is another thing" else web.Response(text="<html>")
        )

    async with management(answer) as holders:
        with capture_logs() as lines:
            async with asyncio.timeout(2):
                assert await holders.by_queue() == {}
                assert await holders.by_queue() == {}
    assert [line["event"] for line in lines] == ["holders.unknown"]
