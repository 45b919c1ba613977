"""The ingress as a process of its own, before a real RabbitMQ."""

import asyncio
import signal
import time
from pathlib import Path

import aio_pika

from schemas.topology import DEAD_QUEUE, partition_label, partition_of, partition_queue
from tests.integration.webhook_ingress.process import ROOM, event, running, taken
from tests.support.tcp_proxy import TcpProxy


async def test_a_200_means_that_the_event_is_in_its_partition(amqp_url: str, tmp_path: Path) -> None:
    """With the raw bytes and exactly the documented properties."""
    async with running(amqp_url, tmp_path) as ingress:
        before = int(time.time() * 1000)
        await ingress.connected()
        await ingress.answers(200, event(1))
        (message, *copies) = await taken(amqp_url, partition_queue(partition_of(ROOM)))
    assert copies == []
    assert message.body == event(1)
    assert message.exchange == "june.rooms.v1"
    assert message.routing_key == f"{partition_label(partition_of(ROOM))}.room_started"
    assert (message.message_id, message.type) == ("EV_1", "livekit.room_started")
    assert message.content_type == "application/webhook+json"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert set(message.headers) - {"x-delivery-count"} == {"room", "received_at"}
    assert message.headers["room"] == ROOM
    received_at = message.headers["received_at"]
    assert isinstance(received_at, int)
    assert before <= received_at <= time.time() * 1000


async def test_hostile_names_are_published_too(amqp_url: str, tmp_path: Path) -> None:
    """Names as long as the contract allows, and a room name that no room can have, are safe as well."""
    hostile = [
        event(2, event="e" * 255, id="i" * 255),
        event(3, event="#.*.ü\n", room={"name": "x" * 100_000}),
        event(4, room={"name": "r" * 4000}),
        event(5, event="\u0000"),
    ]
    async with running(amqp_url, tmp_path) as ingress:
        await ingress.connected()
        await ingress.answers(200, event(1))
        for body in hostile:
            assert (await ingress.post(body))[0] == 200
        queues = {partition_queue(partition_of(room)) for room in (ROOM, "", "r" * 4000)}
        bodies = [message.body for queue in queues for message in await taken(amqp_url, queue)]
    assert sorted(bodies) == sorted([event(1), *hostile])


async def test_what_is_signed_but_unreadable_is_dead_lettered(amqp_url: str, tmp_path: Path) -> None:
    """With the contract's headers, and the bytes as they were."""
    async with running(amqp_url, tmp_path) as ingress:
        await ingress.connected()
        await ingress.answers(200, b"no json")
        (message,) = await taken(amqp_url, DEAD_QUEUE)
    assert message.body == b"no json"
    headers = {name: value for name, value in message.headers.items() if not name.startswith("x-")}
    failed_at = headers.pop("failed_at")
    assert isinstance(failed_at, int)
    assert headers == {
        "reason": "unreadable",
        "error": "the body is not a JSON object",
        "origin_exchange": "",
        "origin_routing_key": "",
        "attempts": 1,
    }


async def test_it_waits_for_rabbitmq_and_takes_events_meanwhile(amqp_url: str, tmp_path: Path) -> None:
    """It listens at once, is ready, and what it took comes through when the broker does."""
    async with TcpProxy.before(amqp_url) as proxy:
        await proxy.refuse()
        async with running(proxy.url(amqp_url), tmp_path) as ingress:
            assert (await ingress.post(event(1)))[0] == 200
            assert await ingress.readiness() == 200
            assert await ingress.figure("june_ingress_spool_records") == 1
            await proxy.accept()
            await ingress.emptied()
    (message,) = await taken(amqp_url, partition_queue(partition_of(ROOM)))
    assert message.message_id == "EV_1"


async def test_sigterm_drains_and_exits_0(amqp_url: str, tmp_path: Path) -> None:
    """Every request before it was answered, every 200 is in the queue, and the exit is quick."""
    async with running(amqp_url, tmp_path) as ingress:
        await ingress.connected()
        await ingress.answers(200, event(0))
        posting = [asyncio.create_task(ingress.post(event(number))) for number in range(1, 101)]
        await asyncio.wait(posting, return_when=asyncio.FIRST_COMPLETED)
        ingress.process.send_signal(signal.SIGTERM)
        results = await asyncio.gather(*posting, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await ingress.ended() == 0
        found = {m.message_id for m in await taken(amqp_url, partition_queue(partition_of(ROOM)))}
    promised = {
        f"EV_{n}" for n, result in enumerate(results, 1) if isinstance(result, tuple) and result[0] == 200
    }
    assert promised
    assert promised <= found
