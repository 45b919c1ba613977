"""What `june doctor` says about a LiveKit whose clock is another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from cli.checks.finding import Finding, Verdict
from cli.checks.livekit import livekit


@asynccontextmanager
async def answering(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Where something answers so."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def looked_at(*, behind: timedelta | None) -> dict[str, Finding]:
    """What is found of a LiveKit that refuses everybody, and is so much behind; None: it tells no time."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        time = "soon" if behind is None else format_datetime(datetime.now(UTC) - behind, usegmt=True)
        return web.json_response({"code": "unauthenticated", "msg": "no"}, status=401, headers={"Date": time})

    async with answering(answer) as url:
        env = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 32, "LIVEKIT_WS_URL": url}
        return {finding.about: finding async for finding in livekit(env, None)}


@pytest.mark.parametrize(
    ("behind", "verdict"),
    [
        (timedelta(0), Verdict.OK),
        (timedelta(seconds=20), Verdict.WARNING),
        (timedelta(minutes=5), Verdict.BAD),
        (timedelta(minutes=-5), Verdict.BAD),
        (None, Verdict.SKIPPED),
    ],
    ids=["right", "a little late", "late", "early", "unknown"],
)
async def test_a_clock_that_is_off_is_found(behind: timedelta | None, verdict: Verdict) -> None:
    """Beyond the leeway of signatures it is bad; what to do is said."""
    found = (await looked_at(behind=behind))["clock"]
    assert found.verdict is verdict
    assert bool(found.mend) == (verdict in {Verdict.WARNING, Verdict.BAD})


async def test_a_key_that_livekit_refuses_is_named_by_its_settings() -> None:
    """Nobody is told to start a LiveKit that runs; no webhook is waited for."""
    found = await looked_at(behind=timedelta(0))
    assert found["LiveKit"].verdict is Verdict.BAD
    assert "LIVEKIT_API_SECRET" in found["LiveKit"].mend
    assert found["webhooks"].verdict is Verdict.SKIPPED
