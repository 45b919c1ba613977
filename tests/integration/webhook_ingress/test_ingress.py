"""The ingress as a process of its own, before a real RabbitMQ."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp

from schemas.topology import DEAD_QUEUE, partition_label, partition_of, partition_queue
from tests.support.tcp_proxy import TcpProxy
from tests.unit.webhook_ingress.tokens import KEY, SECRET, token

ROOT = Path(__file__).parents[3]
ROOM = "june room/ü*#"
SOON_S = 30


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """A process, and a way to talk to it."""

    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession
    url: str
    ready_url: str

    async def post(self, body: bytes) -> tuple[int, Mapping[str, str]]:
        """Post a body with a right token: status and headers."""
        headers = {"Authorization": token(body, now_s=int(time.time()))}
        async with self.session.post(self.url, data=body, headers=headers) as answer:
            return answer.status, answer.headers

    async def readiness(self) -> int:
        """The status of /readyz."""
        async with self.session.get(self.ready_url) as answer:
            return answer.status

    async def answers(self, wanted: int, body: bytes) -> None:
        """Post until the answer is as wanted, with a deadline."""
        async with asyncio.timeout(SOON_S):
            while (await self.post(body))[0] != wanted:  # noqa: ASYNC110 - it polls another process
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running(amqp_url: str, free_port: Callable[[], int]) -> AsyncIterator[Ingress]:
    """`python -m webhook_ingress`, listening."""
    port, admin_port = free_port(), free_port()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JUNE_", "LIVEKIT_"))},
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "JUNE_AMQP_URL": amqp_url,
        "JUNE_INGRESS_PORT": str(port),
        "JUNE_ADMIN_PORT": str(admin_port),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "webhook_ingress", cwd=ROOT, env=env)
    try:
        async with aiohttp.ClientSession() as session:
            ingress = Ingress(
                process=process,
                session=session,
                url=f"http://127.0.0.1:{port}/api/livekit-webhooks",
                ready_url=f"http://127.0.0.1:{admin_port}/readyz",
            )
            await listening(ingress)
            yield ingress
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def listening(ingress: Ingress) -> None:
    """Wait until the process answers at all."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await ingress.readiness()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
            else:
                return


async def taken(amqp_url: str, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """All messages of a queue, as a client that is not ours sees them: until it is silent for a second."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []
    async with await aio_pika.connect(amqp_url) as connection:
        source = await (await connection.channel()).get_queue(queue)
        # A consumer, as RabbitMQ refuses basic.get where there is a single active one.
        async with source.iterator(no_ack=True, timeout=1) as messages:
            try:
                async for message in messages:
                    found.append(message)  # noqa: PERF401 - the loop ends by its timeout
            except TimeoutError:
                return found
    return found


def event(number: int, **more: Any) -> bytes:
    """A body as LiveKit writes it, with odd spaces."""
    return json.dumps(
        {"event": "room_started", "id": f"EV_{number}", "room": {"name": ROOM}, **more}
    ).encode()


async def test_a_200_means_that_the_event_is_in_its_partition(
    amqp_url: str, free_port: Callable[[], int]
) -> None:
    """With the raw bytes and exactly the documented properties."""
    async with running(amqp_url, free_port) as ingress:
        before = int(time.time() * 1000)
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


async def test_hostile_names_are_published_too(amqp_url: str, free_port: Callable[[], int]) -> None:
    """Names as long as the contract allows, and a room name that no room can have, are safe as well."""
    hostile = [
        event(2, event="e" * 255, id="i" * 255),
        event(3, event="#.*.ü\n", room={"name": "x" * 100_000}),
        event(4, room={"name": "r" * 4000}),
        event(5, event="\u0000"),
    ]
    async with running(amqp_url, free_port) as ingress:
        await ingress.answers(200, event(1))
        for body in hostile:
            assert (await ingress.post(body))[0] == 200
        queues = {partition_queue(partition_of(room)) for room in (ROOM, "", "r" * 4000)}
        bodies = [message.body for queue in queues for message in await taken(amqp_url, queue)]
    assert sorted(bodies) == sorted([event(1), *hostile])


async def test_what_is_signed_but_unreadable_is_dead_lettered(
    amqp_url: str, free_port: Callable[[], int]
) -> None:
    """With the contract's headers, and the bytes as they were."""
    async with running(amqp_url, free_port) as ingress:
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


async def test_it_waits_for_rabbitmq_and_answers_503_meanwhile(
    amqp_url: str, free_port: Callable[[], int]
) -> None:
    """It listens at once, is not ready, and goes on by itself when the broker comes."""
    async with TcpProxy.before(amqp_url) as proxy:
        await proxy.refuse()
        async with running(proxy.url(amqp_url), free_port) as ingress:
            status, headers = await ingress.post(event(1))
            assert (status, headers["Retry-After"]) == (503, "7")
            assert await ingress.readiness() == 503
            await proxy.accept()
            await ingress.answers(200, event(1))
            assert await ingress.readiness() == 200


async def test_a_broker_that_hangs_or_is_lost_is_503_within_two_seconds(
    amqp_url: str, free_port: Callable[[], int]
) -> None:
    """And 200 again afterwards; what was answered with 200 is there."""
    async with TcpProxy.before(amqp_url) as proxy, running(proxy.url(amqp_url), free_port) as ingress:
        await ingress.answers(200, event(1))
        proxy.hang()
        await refused_soon(ingress, event(2))
        proxy.go_on()
        await ingress.answers(200, event(2))
        await proxy.refuse()
        await refused_soon(ingress, event(3))
        await proxy.accept()
        await ingress.answers(200, event(3))
        messages = await taken(amqp_url, partition_queue(partition_of(ROOM)))
    assert {message.message_id for message in messages} == {"EV_1", "EV_2", "EV_3"}


async def refused_soon(ingress: Ingress, body: bytes) -> None:
    """503 within the time that was promised."""
    begun = time.monotonic()
    assert (await ingress.post(body))[0] == 503
    assert time.monotonic() - begun < 2


async def test_sigterm_drains_and_exits_0(amqp_url: str, free_port: Callable[[], int]) -> None:
    """Every request before it was answered, every 200 is in the queue, and the exit is quick."""
    async with running(amqp_url, free_port) as ingress:
        await ingress.answers(200, event(0))
        posting = [asyncio.create_task(ingress.post(event(number))) for number in range(1, 101)]
        await asyncio.wait(posting, return_when=asyncio.FIRST_COMPLETED)
        ingress.process.send_signal(signal.SIGTERM)
        results = await asyncio.gather(*posting, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await ingress.process.wait() == 0
        found = {m.message_id for m in await taken(amqp_url, partition_queue(partition_of(ROOM)))}
    promised = {
        f"EV_{n}" for n, result in enumerate(results, 1) if isinstance(result, tuple) and result[0] == 200
    }
    assert promised
    assert promised <= found
