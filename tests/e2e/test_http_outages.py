"""The HTTP API when something behind it is away, silent or slow: contract.md §8, "Time"."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.http_api import Http, api_of
from tests.e2e.installation import Installation
from tests.e2e.processes import Parts
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_broker_that_is_away_or_silent_is_503_within_two_seconds(june: Installation) -> None:
    """Also for who waits already; it is well again by itself."""
    async with (
        TcpProxy.before(june.amqp_url) as proxy,
        api_of(june.parts, JUNE_AMQP_URL=proxy.url(june.amqp_url)) as (http, part),
    ):
        proxy.hang()
        await _unavailable(http)
        proxy.go_on()
        await proxy.refuse()
        await _unavailable(http)
        await part.ready(status=503)
        await proxy.accept()
        await part.ready()
        assert (await http("POST", "/api/sessions", {"user_id": "ann"})).status == 201


async def _unavailable(http: Http) -> None:
    async def ask(method: str, target: str, body: Any = None) -> None:
        began = time.monotonic()
        answer = await http(method, target, body)
        took = time.monotonic() - began
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "unavailable", True)
        assert "Retry-After" in answer.headers
        assert took < 2, (target, took)

    await asyncio.gather(
        ask("POST", "/api/sessions", {"user_id": "ann"}),
        ask("GET", "/api/sessions"),
        ask("GET", "/api/events"),
        ask("GET", "/api/system"),
        ask("GET", "/api/system/dead-letters"),
    )


async def test_without_a_worker_the_answer_is_504(amqp_url: str, tmp_path: Path) -> None:
    """At the deadline: whether it was carried out is not known, and the same again is right."""
    parts = Parts(env={"JUNE_AMQP_URL": amqp_url, "JUNE_API_TIMEOUT_S": "0.5"}, directory=tmp_path)
    try:
        async with api_of(parts) as (http, part):
            answer = await http("POST", "/api/sessions", {"user_id": "ann"})
            assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
            assert answer.json["retryable"] is True
            system = await http.ok("GET", "/api/system")
            assert system["workers"] == 0
            assert system["broker"]["server"].startswith("RabbitMQ")
            # A listener is no reason to stay.
            async with http.events():
                await part.stop()
    finally:
        parts.kill()


async def test_it_may_start_before_the_broker(june: Installation) -> None:
    """It listens at once, says that it is not ready, and goes on when RabbitMQ is there."""
    async with TcpProxy.before(june.amqp_url) as proxy:
        await proxy.refuse()
        starting = api_of(june.parts, ready=False, JUNE_AMQP_URL=proxy.url(june.amqp_url))
        async with starting as (http, part):
            await part.ready(status=503)
            assert (await http("GET", "/api/sessions")).status == 503
            await proxy.accept()
            await part.ready()
            assert (await http("GET", "/api/sessions")).status == 200


async def test_livekit_that_hangs_is_503_within_five_seconds(june: Installation) -> None:
    """What needs LiveKit says that it is away, and what does not need it is answered; later all is well again."""
    async with api_of(june.parts) as (http, _):
        about = f"/api/sessions/{(await http.ok('POST', '/api/sessions', {'user_id': 'ann'}))['session_id']}"
        needing = [
            ("POST", "/api/sessions", {"user_id": "bo"}),
            ("GET", f"{about}/room", None),
            ("GET", f"{about}/participants", None),
            ("DELETE", f"{about}/participants/ann", None),
        ]
        june.livekit.slow(timedelta(minutes=1))
        try:
            began = time.monotonic()
            answers = await asyncio.gather(*(http(*request) for request in needing))
            assert time.monotonic() - began < 5
            assert [(answer.status, answer.json["code"]) for answer in answers] == [(503, "unavailable")] * 4
            assert all("Retry-After" in answer.headers for answer in answers)
            assert (await http("GET", about)).status == 200
        finally:
            june.livekit.slow(timedelta(0))
        assert (await http("POST", "/api/sessions", {"user_id": "bo"})).status == 201


async def test_a_request_in_progress_is_answered_though_the_api_is_told_to_stop(june: Installation) -> None:
    """SIGTERM ends the streams at once, lets the others have their answer, and exits 0."""
    async with api_of(june.parts) as (http, part):
        june.livekit.slow(timedelta(seconds=1))
        try:
            async with http.events() as stream:
                made = june.livekit.calls.count("CreateRoom")
                asking = asyncio.create_task(http("POST", "/api/sessions", {"user_id": "ann"}))
                await until(lambda: june.livekit.calls.count("CreateRoom") > made)
                stopping = asyncio.create_task(part.stop())
                await stream.answer.content.read()
                assert (await asking).status == 201
                await stopping
        finally:
            june.livekit.slow(timedelta(0))
