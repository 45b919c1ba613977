"""LiveKit: whether it answers, takes our key, agrees about the time, and posts its webhooks to our ingress.

The last is tried: a room is made, its webhook is waited for in RabbitMQ, the room is closed. Where rooms of
others are adopted this leaves one ended session behind.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import uuid4

import aiohttp

from cli.checks.finding import Finding, Verdict, bad, ok, skipped, warning
from messaging.connection import Broker
from messaging.failures import PublishError
from messaging.listen import listening
from messaging.message import Incoming
from runtime.settings import IngressSettings, LiveKitSettings, SettingsInvalid, load
from schemas.topology import ROOMS, Binding, room_event_key
from worker.adapters.livekit.server_api import LiveKitServer
from worker.application.failures import LiveKitRefused, LiveKitUnavailable

WEBHOOK_PATH = "/api/livekit-webhooks"
WEBHOOK_WITHIN = timedelta(seconds=10)
SKEW_SEEN, SKEW_REFUSED = timedelta(seconds=5), timedelta(seconds=60)
"""Beyond the second, signatures are refused; an HTTP date has whole seconds, so less than a few is nothing."""
_ROOM_TIMEOUT_S = 10
_HTTP_TIMEOUT = aiohttp.ClientTimeout(total=3)
_REFUSED_KEY = ("401", "unauthenticated", "permission_denied")


async def livekit(env: Mapping[str, str], broker: Broker | None) -> AsyncIterator[Finding]:
    """`broker` None: RabbitMQ is away, so no webhook can be seen."""
    try:
        settings = load(LiveKitSettings, env)
    except SettingsInvalid:
        yield skipped("LiveKit", "without its key it cannot be asked")
        return
    url, keys = settings.livekit_ws_url.get_secret_value(), settings.keys
    server = LiveKitServer(url=url, key=keys.signing_key, secret=keys.signing_secret)
    try:
        answers = await _answers(server, url)
        yield answers
        yield await _clock(url)
        yield await _ingress(env)
        if answers.verdict is Verdict.OK and broker is not None:
            yield await _webhook(server, broker)
        else:
            yield skipped("webhooks", "can be seen once LiveKit and RabbitMQ are well")
    finally:
        await server.close()


async def _answers(server: LiveKitServer, url: str) -> Finding:
    try:
        await server.check()
    except (LiveKitUnavailable, LiveKitRefused) as error:
        if any(word in str(error) for word in _REFUSED_KEY):
            mend = "LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be a pair of the server's `keys`"
            return bad("LiveKit", f"{url} does not accept our key: {error}", mend=mend)
        return bad("LiveKit", f"{url}: {error}", mend="start it, or set LIVEKIT_WS_URL to where it is")
    return ok("LiveKit", f"{url} answers and accepts our key")


async def _clock(url: str) -> Finding:
    try:
        async with (
            aiohttp.ClientSession(timeout=_HTTP_TIMEOUT) as session,
            session.get(url.replace("ws", "http", 1)) as answer,
        ):
            theirs = parsedate_to_datetime(answer.headers["Date"])
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        return skipped("clock", f"LiveKit does not tell its time: {type(error).__name__}")
    skew = abs(datetime.now(UTC) - theirs.astimezone(UTC))
    text = f"LiveKit's is {skew.total_seconds():.0f} s off ours"
    mend = "let both machines keep their time by NTP"
    if skew > SKEW_REFUSED:
        return bad("clock", f"{text}: signatures are refused", mend=mend)
    return (
        warning("clock", text, mend=mend) if skew > SKEW_SEEN else ok("clock", "LiveKit's agrees with ours")
    )


async def _ingress(env: Mapping[str, str]) -> Finding:
    """A GET of the webhooks' path is refused with 405, and that is the answer of an ingress."""
    try:
        settings = load(IngressSettings, env)
    except SettingsInvalid:
        return skipped("ingress", "its settings are wrong")
    host = "127.0.0.1" if settings.ingress_host in {"0.0.0.0", "::"} else settings.ingress_host  # noqa: S104
    url = f"http://{host}:{settings.ingress_port}{WEBHOOK_PATH}"
    mend = "start it: `june up`, or `python -m webhook_ingress`; where it runs elsewhere, that is no matter"
    try:
        async with aiohttp.ClientSession(timeout=_HTTP_TIMEOUT) as session, session.get(url) as answer:
            status = answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        return warning("ingress", f"nothing answers at {url}: {type(error).__name__}", mend=mend)
    if status != 405:
        return warning("ingress", f"what answers at {url} ({status}) is no ingress", mend=mend)
    return ok("ingress", f"{url} answers")


async def _webhook(server: LiveKitServer, broker: Broker) -> Finding:
    room = f"june-doctor-{uuid4().hex[:12]}"
    mend = (
        f"LiveKit's `webhook.urls` must have http(s)://<the ingress>{WEBHOOK_PATH}, and `webhook.api_key` a key that"
        " the ingress knows; its log says what it refuses"
    )
    try:
        async with listening(broker, [Binding(ROOMS, room_event_key(room, "room_started"))]) as messages:
            began = asyncio.get_running_loop().time()
            await server.create_room(
                name=room,
                empty_timeout_s=_ROOM_TIMEOUT_S,
                departure_timeout_s=_ROOM_TIMEOUT_S,
                max_participants=None,
            )
            async with asyncio.timeout(WEBHOOK_WITHIN.total_seconds()):
                await _about(room, messages)
            took_ms = (asyncio.get_running_loop().time() - began) * 1000
    except TimeoutError:
        text = f"no webhook of a new room came within {WEBHOOK_WITHIN.total_seconds():.0f} s"
        return bad("webhooks", text, mend=mend)
    except (LiveKitUnavailable, LiveKitRefused) as error:
        return bad("webhooks", f"no room could be made: {error}", mend="see LiveKit's log")
    except PublishError as error:
        return skipped("webhooks", f"where they arrive cannot be looked at: {error}")
    finally:
        await _close(server, room)
    return ok("webhooks", f"a new room's came after {took_ms:.0f} ms")


async def _about(room: str, messages: AsyncIterator[Incoming]) -> None:
    async for message in messages:
        if message.headers.get("room") == room:
            return


async def _close(server: LiveKitServer, room: str) -> None:
    # Where it cannot be closed it ends by itself: nobody comes.
    with suppress(LiveKitUnavailable, LiveKitRefused):
        await server.delete_room(room)
