"""A backend service, as others would write one: asks June by AMQP, and watches what June and the services say.

`python -m examples.backend TYPE DATA` sends one command and prints June's reply, for example
`python -m examples.backend june.session.create.v1 '{"user_id": "bob"}'`. RabbitMQ is where JUNE_AMQP_URL says.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from examples.service import Data, envelope

REPLY_WITHIN = timedelta(seconds=10)
WATCHED = ("june.events", "june.pipeline", "june.rooms.v1")


class Refused(Exception):
    """June answered with an error: `code` and `message`."""


class Missing(Exception):
    """Something did not happen by its deadline."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A message as it came. `at` is the monotonic clock's time, in seconds."""

    at: float
    exchange: str
    routing_key: str
    type: str
    """An envelope's type; `livekit.<event>` for a webhook; empty for what is neither."""
    body: Data
    """The whole envelope, or the whole webhook."""
    properties: AbstractIncomingMessage = field(repr=False)

    @property
    def data(self) -> Data:
        """An envelope's data; empty for a webhook."""
        data: Data = self.body.get("data", {})
        return data


class Backend:
    """A connection that asks, and one place where all that was seen is kept in the order of its coming."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._replies: dict[str, asyncio.Future[Data]] = {}
        self._reply_to = f"backend-{uuid.uuid4().hex[:6]}.replies"
        self._came = asyncio.Condition()
        self.seen: list[Seen] = []

    async def start(self, on_seen: Callable[[Seen], None] | None = None) -> None:
        """Listen for replies and, where `on_seen` is given, to everything else."""
        replies = await self._channel.declare_queue(self._reply_to, exclusive=True)
        await replies.consume(self._on_reply, no_ack=True)
        if on_seen is None:
            return
        watching = await self._channel.declare_queue(f"{self._reply_to}.watch", exclusive=True)
        for exchange in WATCHED:
            await watching.bind(exchange, "#")

        async def keep(message: AbstractIncomingMessage) -> None:
            seen = _seen(message)
            async with self._came:
                self.seen.append(seen)
                self._came.notify_all()
            on_seen(seen)

        await watching.consume(keep, no_ack=True)

    async def ask(self, type_: str, data: Data, *, id_: str | None = None) -> Data:
        """The result of a command. `Refused` when June says no, `Missing` when it says nothing.

        The same `id_` again gives the same result, and does nothing twice.
        """
        command = id_ or str(uuid.uuid4())
        reply = self._replies[command] = asyncio.get_running_loop().create_future()
        message = aio_pika.Message(
            envelope("sample-backend", type_, data, id_=command),
            content_type="application/cloudevents+json",
            correlation_id=command,
            reply_to=self._reply_to,
        )
        exchange = await self._channel.get_exchange("june.commands", ensure=False)
        await exchange.publish(message, type_)
        try:
            async with asyncio.timeout(REPLY_WITHIN.total_seconds()):
                answer = await reply
        except TimeoutError as error:
            raise Missing(
                f"June did not answer {type_} within {REPLY_WITHIN.total_seconds():.0f} s"
            ) from error
        finally:
            del self._replies[command]
        if not answer["ok"]:
            raise Refused(json.dumps(answer["error"]))
        result: Data = answer["result"]
        return result

    async def until(
        self,
        type_: str,
        matches: Callable[[Seen], bool] = lambda _: True,
        *,
        within: timedelta = timedelta(seconds=10),
    ) -> Seen:
        """The first message of this type that matches, also one that came before. `Missing` after the deadline."""

        def found() -> Seen | None:
            return next((one for one in self.seen if one.type == type_ and matches(one)), None)

        try:
            async with asyncio.timeout(within.total_seconds()), self._came:
                await self._came.wait_for(lambda: found() is not None)
        except TimeoutError as error:
            raise Missing(f"no {type_} came within {within.total_seconds():.0f} s") from error
        seen = found()
        assert seen is not None
        return seen

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        waiting = self._replies.get(message.correlation_id or "")
        if waiting and not waiting.done():
            waiting.set_result(json.loads(message.body)["data"])


@contextlib.asynccontextmanager
async def connected(url: str, on_seen: Callable[[Seen], None] | None = None) -> AsyncIterator[Backend]:
    """A backend for the time of the block."""
    connection = await aio_pika.connect_robust(url)
    async with connection:
        backend = Backend(await connection.channel(on_return_raises=True))
        await backend.start(on_seen)
        yield backend


def _seen(message: AbstractIncomingMessage) -> Seen:
    body: Any = json.loads(message.body)
    webhook = f"livekit.{body['event']}" if "event" in body else ""
    return Seen(
        at=time.monotonic(),
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        type=body.get("type", webhook),
        body=body,
        properties=message,
    )


async def _main(type_: str, data: str) -> int:
    async with connected(os.environ.get("JUNE_AMQP_URL", "amqp://guest:guest@127.0.0.1/")) as backend:
        try:
            print(json.dumps(await backend.ask(type_, json.loads(data)), indent=2))
        except (Refused, Missing) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(*sys.argv[1:3])))
