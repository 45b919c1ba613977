"""`python -m webhook_ingress`: puts the parts together.

Promises: listens at once, and takes events into the spool until RabbitMQ is there; declares the topology. On a signal
it stops listening, lets requests in progress get their answer, and leaves; what is in the spool is delivered by the
next process. Refuses to start on a spool that another process has.
"""

from runtime import early

if __name__ == "__main__":
    early.leave_on_signals()

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable, TopologyMismatch
from messaging.publisher import Publisher
from messaging.topology import declare, establish
from runtime.admin import Check, Readiness, serve_admin
from runtime.process import start
from runtime.settings import IngressSettings
from runtime.tasks import SideTasks
from schemas.topology import TOPOLOGY
from webhook_ingress.app import Webhooks
from webhook_ingress.http import serve
from webhook_ingress.metrics import Metrics
from webhook_ingress.sink import CONFIRM_LIMIT, EventSink, SafeSink
from webhook_ingress.spool.delivery import Delivery, Handover
from webhook_ingress.spool.log import RecordLog
from webhook_ingress.spool.spool import Spool

log = structlog.get_logger()

# A connection that is away is not waited for: the spool is there.
_PATIENCE: Final = timedelta(0)


async def run(settings: IngressSettings, stop: asyncio.Event) -> None:
    """Everything that the ingress is, until `stop`."""
    broker = Broker(settings.amqp_url.get_secret_value(), name="june webhook_ingress")
    # Known before the first connection, so that nothing is published into exchanges that are not there.
    broker.remember(TOPOLOGY)
    metrics = Metrics()
    async with _spool(settings) as spool:
        metrics.watch(spool)
        readiness = Readiness(checks={"safe": lambda: _not_ready(broker, spool)}, info=_info(broker, spool))
        try:
            async with (
                serve_admin(settings.admin_host, settings.admin_port, readiness),
                SideTasks() as side,
                _serving(settings, _sink(broker, spool, side), metrics),
                asyncio.TaskGroup() as group,
            ):
                connecting = group.create_task(_connect(broker), name="connect")
                await stop.wait()
                connecting.cancel()
        finally:
            await broker.close()


@asynccontextmanager
async def _spool(settings: IngressSettings) -> AsyncIterator[Spool]:
    """The spool, with what an earlier process left in it. Raises SpoolUnusable."""
    records = await asyncio.to_thread(RecordLog, settings.spool_dir, max_bytes=settings.spool_max_bytes)
    log.info("spool.opened", folder=str(settings.spool_dir), messages=records.records)
    spool = Spool(records)
    try:
        yield spool
    finally:
        await spool.close()


def _sink(broker: Broker, spool: Spool, side: SideTasks) -> EventSink:
    """The way to safety, and the tasks behind it."""
    publisher = Publisher(broker, patience=_PATIENCE)
    handover = Handover(CONFIRM_LIMIT)
    delivery = Delivery(spool, publisher, handover, repair=lambda: _repair(broker))
    side.start("spool", spool.write())
    side.start("spool delivery", delivery.run())
    return SafeSink(publisher, spool, handover)


@asynccontextmanager
async def _serving(settings: IngressSettings, sink: EventSink, metrics: Metrics) -> AsyncIterator[None]:
    webhooks = Webhooks(
        sink=sink,
        secrets=settings.keys.secrets,
        max_bytes=settings.webhook_max_bytes,
        metrics=metrics,
    )
    async with serve(settings.ingress_host, settings.ingress_port, webhooks.handle):
        yield


async def _connect(broker: Broker) -> None:
    """Returns once RabbitMQ has our topology; raises TopologyMismatch when it has another one."""
    await broker.start()
    await establish(broker, TOPOLOGY)
    log.info("ingress.ready")


async def _repair(broker: Broker) -> None:
    """Somebody deleted a queue while we were connected."""
    try:
        await declare(broker, TOPOLOGY)
    except (BrokerUnavailable, TopologyMismatch) as error:
        log.error("topology.not_repaired", error=str(error))


async def _not_ready(broker: Broker, spool: Spool) -> str | None:
    """What goes into the spool behind others cannot go to the broker, so then the spool alone decides."""
    if (problem := await spool.problem()) is None:
        return None
    trouble = await broker.publishing.trouble()
    if trouble is None and not spool.waiting:
        return None
    return f"{problem}; {trouble or 'what is in it is being delivered'}"


def _info(broker: Broker, spool: Spool) -> dict[str, Check]:
    return {"broker": broker.publishing.trouble, "spool": spool.problem}


if __name__ == "__main__":
    start("webhook_ingress", IngressSettings, run)
