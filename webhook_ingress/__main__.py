"""`python -m webhook_ingress`: puts the parts together.

Promises: listens at once, and answers 503 until RabbitMQ is there; declares the topology. On a signal it stops
listening, lets requests in progress get their answer, and leaves.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable
from messaging.publisher import Publisher
from messaging.topology import declare
from runtime.admin import Readiness, serve_admin
from runtime.process import start
from runtime.settings import IngressSettings
from schemas.topology import TOPOLOGY
from webhook_ingress.app import Webhooks
from webhook_ingress.http import serve
from webhook_ingress.metrics import Metrics
from webhook_ingress.sink import AmqpSink

log = structlog.get_logger()

# LiveKit sends nothing else about a room while it waits for an answer: say "later" soon.
CONFIRM_LIMIT: Final = timedelta(seconds=1.5)
CONNECTION_LIMIT: Final = timedelta(seconds=0.5)


async def run(settings: IngressSettings, stop: asyncio.Event) -> None:
    """Everything that the ingress is, until `stop`."""
    broker = Broker(settings.amqp_url.get_secret_value(), name="june webhook_ingress")
    # Known before the first connection, so that nothing is published into exchanges that are not there.
    broker.remember(TOPOLOGY)
    webhooks = Webhooks(
        sink=AmqpSink(Publisher(broker, patience=CONNECTION_LIMIT), CONFIRM_LIMIT),
        secrets=settings.keys.secrets,
        max_bytes=settings.webhook_max_bytes,
        metrics=Metrics(),
    )
    readiness = Readiness(checks={"broker": lambda: _not_ready(broker)})
    try:
        async with (
            serve_admin(settings.admin_host, settings.admin_port, readiness),
            serve(settings.ingress_host, settings.ingress_port, webhooks.handle),
            asyncio.TaskGroup() as group,
        ):
            connecting = group.create_task(_connect(broker), name="connect")
            await stop.wait()
            connecting.cancel()
    finally:
        await broker.close()


async def _connect(broker: Broker) -> None:
    """Returns once RabbitMQ has our topology; raises TopologyMismatch when it has another one."""
    await broker.start()
    while True:
        try:
            await declare(broker, TOPOLOGY)
        except BrokerUnavailable as error:
            log.warning("broker.waiting", error=str(error))
            await asyncio.sleep(1)
        else:
            log.info("ingress.ready")
            return


def _not_ready(broker: Broker) -> str | None:
    if not broker.publishing.connected:
        return "not connected to RabbitMQ"
    return f"RabbitMQ takes no messages: {broker.blocked}" if broker.blocked else None


if __name__ == "__main__":
    start("webhook_ingress", IngressSettings, run)
