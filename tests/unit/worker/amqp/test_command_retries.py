"""A command that nobody waits for, while something is down: by way of the retry queue."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from messaging.delivery import Delivery
from messaging.message import Incoming, Outgoing
from messaging.publisher import Publisher
from messaging.wire.frames import encode_publish
from schemas.replies import ErrorCode, ReplyError
from schemas.topology import COMMANDS_RETRY_QUEUE
from worker.adapters.amqp.commands import CommandHandler
from worker.adapters.amqp.dead import DeadLetters
from worker.application.commands.executor import Answered, Commands

UNAVAILABLE = Answered(
    command_id="c1",
    reply_id="r1",
    reply=b"{}",
    type="june.session.create.v1",
    session_id=None,
    error=ReplyError.of(ErrorCode.UNAVAILABLE, "LiveKit cannot be reached"),
    readable=True,
)
COMMAND = Incoming(
    queue="june.commands.v1",
    body=b"{}",
    message_id="c1",
    type="june.session.create.v1",
    content_type=None,
    correlation_id=None,
    reply_to=None,
    headers={},
    exchange="june.commands",
    routing_key="june.session.create.v1",
    redelivered=False,
    delivery_count=0,
    timestamp=None,
)


class Down:
    """Everything that a command needs is away."""

    async def execute(self, _body: bytes, *, deadline: datetime | None) -> Answered:
        return UNAVAILABLE


class Kept:
    """A publisher that keeps what it can send."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []

    async def publish(self, message: Outgoing, *, timeout: timedelta) -> None:
        encode_publish(
            1,
            exchange=message.exchange,
            routing_key=message.routing_key,
            mandatory=True,
            properties=message.properties(),
            body=message.body,
            frame_max=131_072,
        )
        self.messages.append(message)


class Open:
    """A channel that stays open."""

    current = True

    def settle(self, tag: int, verdict: object) -> None:
        """Nobody looks."""


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({}, {"june-attempts": 1}),
        ({"june-attempts": 2, "colour": "red", "x-death": "odd"}, {"june-attempts": 3, "colour": "red"}),
        ({"deadline": 17, "filler": "a" * 130_000}, {"june-attempts": 1, "deadline": 17}),
        ({"deadline": "a" * 130_000}, {"june-attempts": 1}),
        ({f"h{n}": n for n in range(15_000)}, {"june-attempts": 1}),
        ({"june-attempts": 2**63 - 1}, {"june-attempts": 1_000_001}),
        ({"june-attempts": "many"}, {"june-attempts": 1}),
    ],
)
async def test_it_comes_back_whatever_headers_it_has(
    headers: dict[str, str | int], kept: dict[str, str | int]
) -> None:
    """Those that leave no room in a frame are left out, and the command is not lost for them."""
    publisher = Kept()
    handler = CommandHandler(
        commands=cast("Commands", Down()),
        publisher=cast("Publisher", publisher),
        dead_letters=cast("DeadLetters", None),
    )
    delivery = Delivery(b"{}", lambda: replace(COMMAND, headers=headers), tag=1, origin=Open())
    await handler([delivery])
    (again,) = publisher.messages
    assert again.routing_key == COMMANDS_RETRY_QUEUE
    assert again.headers == kept
    assert delivery.settled
