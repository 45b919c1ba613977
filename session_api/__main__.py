"""`python -m session_api`: puts the parts together.

Promises: listens at once, and answers 503 until RabbitMQ is there; declares the topology. On a signal it ends the event
streams, stops listening, lets requests in progress get their answer, and leaves.
"""

from runtime import early

if __name__ == "__main__":
    early.leave_on_signals()

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable
from messaging.request_reply import Requester
from messaging.topology import declare
from runtime.admin import Readiness, serve_admin
from runtime.process import start
from runtime.settings import ApiSettings
from runtime.tasks import SideTasks
from schemas.topology import TOPOLOGY
from session_api.app import Api, Parts
from session_api.auth import Gate, Keys, OpenToThisMachine
from session_api.commander import CONFIRM_WITHIN, Commander
from session_api.cors import Cors
from session_api.events.feed import Feed
from session_api.events.log import StreamLog
from session_api.events.owners import Owners
from session_api.events.streaming import Streaming
from session_api.holders import Holders
from session_api.http import serve
from session_api.metrics import Metrics
from session_api.oidc import IssuerTokens, fetched_from
from session_api.system import BrokerLook, System

log = structlog.get_logger()

CONNECTION_LIMIT: Final = timedelta(seconds=0.7)
_TRY_AGAIN_S: Final = 1.0


async def run(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Everything that the HTTP API is, until `stop`."""
    broker = Broker(settings.amqp_url.get_secret_value(), name="june session_api")
    # Known before the first connection, so that nothing is published into exchanges that are not there.
    broker.remember(TOPOLOGY)
    requester = Requester(broker, patience=CONNECTION_LIMIT, confirm_within=CONFIRM_WITHIN)
    feed = Feed(StreamLog(broker))
    api = compose(settings, broker=broker, requester=requester, feed=feed)
    readiness = Readiness(checks={"broker": lambda: not_ready(broker, requester)})
    try:
        async with (
            serve_admin(settings.admin_host, settings.admin_port, readiness),
            serve(settings.api_host, settings.api_port, api.handle),
            SideTasks() as side,
        ):
            side.start("broker", _connected(broker, requester, feed))
            await stop.wait()
            api.close()
    finally:
        await requester.close()
        await broker.close()


def compose(settings: ApiSettings, *, broker: Broker, requester: Requester, feed: Feed) -> Api:
    """Put the API together. Nothing is started."""
    metrics = Metrics()
    commander = Commander(requester, timeout=settings.api_timeout)
    parts = Parts(
        gate=gate_of(settings),
        commander=commander,
        feed=feed,
        streaming=Streaming(feed, Owners(commander), sent=metrics.event_sent),
        system=System(BrokerLook(broker), _holders(settings), lease=settings.job_lease),
        metrics=metrics,
        cors=Cors(settings.api_cors_origins or ()),
    )
    return Api(parts, max_requests=settings.api_max_requests, max_bytes=settings.api_max_bytes)


def _holders(settings: ApiSettings) -> Holders:
    url = None if settings.management_url is None else settings.management_url.get_secret_value()
    return Holders(url, settings.amqp_url.get_secret_value())


def gate_of(settings: ApiSettings) -> Gate:
    """Who is let in. That somebody is, and that it is not everybody beyond loopback, the settings have checked."""
    tokens = None
    if settings.oidc_issuer and settings.oidc_audience and settings.oidc_jwks_url:
        tokens = IssuerTokens(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            fetch=fetched_from(settings.oidc_jwks_url),
        )
    keys = settings.api_keys.get_secret_value() if settings.api_keys else ()
    if not keys and tokens is None:
        log.warning("api.open", meaning="without keys everybody on this machine may do everything")
        return OpenToThisMachine()
    return Keys(keys, tokens)


async def _connected(broker: Broker, requester: Requester, feed: Feed) -> None:
    """Waits for RabbitMQ, then follows the log of events. Raises TopologyMismatch."""
    await broker.start()
    requester.start()
    while True:
        try:
            await declare(broker, TOPOLOGY)
            log.info("api.ready")
            await feed.run()
        except BrokerUnavailable as error:
            log.warning("broker.waiting", error=str(error))
            await asyncio.sleep(_TRY_AGAIN_S)


async def not_ready(broker: Broker, requester: Requester) -> str | None:
    """Why requests cannot be carried out; None when they can."""
    if (trouble := await broker.trouble()) is not None:
        return trouble
    return None if requester.ready else "no answers can reach us yet"


if __name__ == "__main__":
    start("session_api", ApiSettings, run)
