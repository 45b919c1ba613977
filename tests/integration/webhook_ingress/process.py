"""The ingress as a process of its own, and what a test does with it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp

from deploy.servers import free_port
from tests.support.polling import until
from tests.support.preloaded import Forked
from tests.unit.webhook_ingress.tokens import KEY, SECRET, token

ROOT = Path(__file__).parents[3]
ROOM = "june room/ü*#"


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """A process, and a way to talk to it."""

    process: Forked
    session: aiohttp.ClientSession
    url: str
    admin_url: str
    log: Path

    async def post(self, body: bytes) -> tuple[int, Mapping[str, str]]:
        """Post a body with a right token: status and headers."""
        headers = {"Authorization": token(body, now_s=int(time.time()))}
        async with self.session.post(self.url, data=body, headers=headers) as answer:
            return answer.status, answer.headers

    async def readiness(self) -> int:
        """The status of /readyz."""
        async with self.session.get(f"{self.admin_url}/readyz") as answer:
            return answer.status

    async def figure(self, name: str) -> float:
        """A figure without labels, of /metrics."""
        async with self.session.get(f"{self.admin_url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        (value,) = (line.split()[1] for line in lines if line.startswith(f"{name} "))
        return float(value)

    async def answers(self, wanted: int, body: bytes) -> None:
        """Post until the answer is as wanted, with a deadline."""

        async def as_wanted() -> bool:
            return (await self.post(body))[0] == wanted

        await until(as_wanted)

    async def connected(self) -> None:
        """Wait until what it takes goes to the broker."""
        await until(lambda: "ingress.ready" in self.said())

    async def emptied(self) -> None:
        """Wait until nothing is in the spool."""

        async def is_empty() -> bool:
            return await self.figure("june_ingress_spool_records") == 0

        await until(is_empty)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text()

    async def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Its exit code, once it has ended: within the ten seconds that it has to drain, and a few."""
        return await asyncio.to_thread(self.process.wait, 15)


@asynccontextmanager
async def running(
    amqp_url: str, folder: Path, *, spool: Path | None = None, **settings: str
) -> AsyncIterator[Ingress]:
    """An ingress that listens. Its log is in `folder`, and its spool, if no other is given."""
    port, admin_port = free_port(), free_port()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JUNE_", "LIVEKIT_"))},
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "JUNE_AMQP_URL": amqp_url,
        "JUNE_INGRESS_PORT": str(port),
        "JUNE_ADMIN_PORT": str(admin_port),
        "JUNE_SPOOL_DIR": str(spool or folder / "spool"),
        **settings,
    }
    log = folder / f"ingress-{port}.log"
    async with aiohttp.ClientSession() as session:
        ingress = Ingress(
            process=Forked("webhook_ingress", env=env, cwd=ROOT, log=log),
            session=session,
            url=f"http://127.0.0.1:{port}/api/livekit-webhooks",
            admin_url=f"http://127.0.0.1:{admin_port}",
            log=log,
        )
        try:
            await _listening(ingress)
            yield ingress
        finally:
            await ingress.kill()


async def _listening(ingress: Ingress) -> None:
    async def answers() -> bool:
        try:
            await ingress.session.get(ingress.url)
        except aiohttp.ClientConnectionError:
            assert ingress.process.poll() is None, ingress.said()
            return False
        return True

    await until(answers)


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
