"""A client that knows the contract alone: commands by AMQP, their replies, what June publishes, its dead letters.

Promises: keeps everything that came, in the order in which it came. Raises `AssertionError` that says what came instead
when a deadline passes. Imports nothing of June's.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

CONTENT_TYPE = "application/cloudevents+json"
ANSWER_WITHIN_S = 15.0
"""More than the contract's 5 s, for a busy machine; those who test the 5 s measure them."""
SOON_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Received:
    """One message as it came."""

    body: bytes
    exchange: str
    routing_key: str
    message: AbstractIncomingMessage = field(repr=False)

    @classmethod
    def of(cls, message: AbstractIncomingMessage) -> Self:
        """Without what the delivery holds beside it."""
        return cls(
            body=message.body,
            exchange=message.exchange or "",
            routing_key=message.routing_key or "",
            message=message,
        )

    @cached_property
    def envelope(self) -> dict[str, Any]:
        """The body as JSON."""
        envelope: dict[str, Any] = json.loads(self.body)
        return envelope

    @property
    def type(self) -> str:
        """The envelope's."""
        return str(self.envelope["type"])

    @property
    def data(self) -> dict[str, Any]:
        """The envelope's."""
        data: dict[str, Any] = self.envelope["data"]
        return data


class Inbox:
    """Messages as they come, with a way to wait for them."""

    def __init__(self) -> None:
        self.all: list[Received] = []
        self._came = asyncio.Event()

    def put(self, message: AbstractIncomingMessage) -> None:
        """One more."""
        self.all.append(Received.of(message))
        self._came.set()

    async def until(
        self, enough: Callable[[list[Received]], bool], *, within_s: float = SOON_S, what: str = "it"
    ) -> list[Received]:
        """All that came, as soon as they are enough. For few messages: it looks at all of them each time."""
        await self._wait(lambda: enough(self.all), within_s, what)
        return list(self.all)

    async def each_until(
        self, done: Callable[[Received], bool], *, within_s: float = SOON_S, what: str = "it"
    ) -> Received:
        """Show each message once, from the first one on, until one is the last that was waited for."""
        seen = 0

        def last_one() -> bool:
            nonlocal seen
            while seen < len(self.all):
                seen += 1
                if done(self.all[seen - 1]):
                    return True
            return False

        await self._wait(last_one, within_s, what)
        return self.all[seen - 1]

    async def first(self, matches: Callable[[Received], bool], **more: Any) -> Received:
        """The first that matches, now or later."""
        return await self.each_until(matches, **more)

    async def _wait(self, enough: Callable[[], bool], within_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not enough():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            text = "\n".join(f"{one.routing_key} {one.body[:300]!r}" for one in self.all[-12:])
            raise AssertionError(
                f"{what} did not come within {within_s} s; of {len(self.all)} the last:\n{text}"
            ) from None


class Client:
    """`async with Client(url) as client`: a connection with a reply queue, for as long as the block lasts."""

    def __init__(self, amqp_url: str) -> None:
        self._url = amqp_url
        self._stack = AsyncExitStack()
        self._channel: AbstractChannel
        self._replies: AbstractQueue
        self._answers: dict[str, asyncio.Future[Received]] = {}

    async def __aenter__(self) -> Self:
        connection = await self._stack.enter_async_context(await aio_pika.connect(self._url))
        self._channel = await connection.channel()
        self._replies = await self._channel.declare_queue(exclusive=True)
        await self._replies.consume(self._answered, no_ack=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _answered(self, message: AbstractIncomingMessage) -> None:
        answer = self._answers.get(message.correlation_id or "")
        if answer is not None and not answer.done():
            answer.set_result(Received.of(message))

    # What June publishes.

    async def subscribe(self, *bindings: tuple[str, str]) -> Inbox:
        """What comes from now on by these exchanges and routing keys."""
        queue = await self._channel.declare_queue(exclusive=True)
        for exchange, routing_key in bindings:
            await queue.bind(exchange, routing_key)
        inbox = Inbox()
        await self._consume(queue, inbox)
        return inbox

    async def drain(self, queue_name: str) -> Inbox:
        """What a queue holds and gets, taken out of it."""
        inbox = Inbox()
        await self._consume(await self._channel.get_queue(queue_name, ensure=False), inbox)
        return inbox

    async def _consume(self, queue: AbstractQueue, inbox: Inbox) -> None:
        async def take(message: AbstractIncomingMessage) -> None:
            inbox.put(message)

        await queue.consume(take, no_ack=True)

    async def depth(self, queue_name: str) -> int:
        """How many messages wait there."""
        queue = await self._channel.declare_queue(queue_name, passive=True)
        return queue.declaration_result.message_count or 0

    # Commands.

    async def publish(self, exchange: str, routing_key: str, body: bytes, **properties: Any) -> None:
        """Anything, confirmed."""
        message = aio_pika.Message(body, **properties)
        if exchange:
            target = await self._channel.get_exchange(exchange, ensure=False)
        else:
            target = self._channel.default_exchange
        await target.publish(message, routing_key)

    async def send(
        self,
        body: bytes,
        *,
        routing_key: str = "june.session.create.v1",
        reply_to: str | None = "",
        correlation_id: str | None = None,
        **properties: Any,
    ) -> str:
        """Publish a command's bytes; the correlation id. `reply_to`: empty for our own queue, `None` for nobody."""
        correlation_id = correlation_id or str(uuid.uuid4())
        self._answers[correlation_id] = asyncio.get_running_loop().create_future()
        await self.publish(
            "june.commands",
            routing_key,
            body,
            reply_to=self._replies.name if reply_to == "" else reply_to,
            correlation_id=correlation_id,
            **properties,
        )
        return correlation_id

    async def reply(self, correlation_id: str, *, within_s: float = ANSWER_WITHIN_S) -> Received:
        """The first reply to what was sent with this correlation id."""
        try:
            async with asyncio.timeout(within_s):
                return await self._answers[correlation_id]
        except TimeoutError:
            raise AssertionError(f"no reply to {correlation_id} within {within_s} s") from None
        finally:
            del self._answers[correlation_id]

    async def ask_bytes(
        self, body: bytes, *, within_s: float = ANSWER_WITHIN_S, **how: Any
    ) -> dict[str, Any]:
        """The data of the reply to a command's bytes."""
        return (await self.reply(await self.send(body, **how), within_s=within_s)).data

    async def ask(
        self,
        type_: str,
        data: Mapping[str, Any],
        *,
        command_id: str | None = None,
        source: str = "tests",
        **how: Any,
    ) -> dict[str, Any]:
        """The data of a command's reply."""
        return await self.ask_bytes(
            command(type_, data, command_id=command_id, source=source), routing_key=type_, **how
        )

    async def ok(self, type_: str, data: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        """The result of a command that must succeed."""
        answer = await self.ask(type_, data, **how)
        assert answer["ok"] is True, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def refused(self, type_: str, data: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        """The error of a command that must not succeed."""
        answer = await self.ask(type_, data, **how)
        assert answer["ok"] is False, answer
        error: dict[str, Any] = answer["error"]
        return error


def command(
    type_: str, data: Any, *, command_id: str | None = None, source: str = "tests", **more: Any
) -> bytes:
    """An envelope with no more than the contract asks of a sender."""
    envelope = {
        "specversion": "1.0",
        "id": command_id or str(uuid.uuid4()),
        "source": source,
        "type": type_,
        "data": data,
    }
    return json.dumps(envelope | more).encode()


def fields(error: Mapping[str, Any]) -> list[str]:
    """The fields that an error names."""
    return [detail["field"] for detail in error["details"]]


def of_session(session_id: str, type_: str) -> Callable[[Received], bool]:
    """Whether a message has this type and is about this session."""
    return lambda one: one.type == type_ and one.envelope["subject"] == session_id


def types(messages: Iterable[Received]) -> list[str]:
    """Their types, in order."""
    return [one.type for one in messages]
