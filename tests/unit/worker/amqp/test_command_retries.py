"""A command that nobody waits for, while something is down: by way of the retry queue."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from messaging.message import Incoming, Outgoing
from messaging.publisher import Publisher
from messaging.wire.frames import encode_publish
from messaging.wire.properties import HeaderValue
from schemas.replies import ErrorCode, ReplyError
from schemas.topology import COMMANDS_RETRY_QUEUE
from tests.support.bench_worker import SetClock
from tests.support.deliveries import delivery, incoming
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
COMMAND = incoming(
    queue="june.commands.v1",
    message_id="c1",
    type="june.session.create.v1",
    exchange="june.commands",
    routing_key="june.session.create.v1",
)


NOT_FOUND = replace(UNAVAILABLE, error=ReplyError.of(ErrorCode.NOT_FOUND, "no such session"))


class Answering:
    """Gives every command this answer."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered

    async def execute(self, _body: bytes, *, deadline: datetime | None) -> Answered:
        return self._answered


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


async def handled(command: Incoming, answered: Answered = UNAVAILABLE) -> Outgoing:
    """What is sent because of a command."""
    publisher = Kept()
    handler = CommandHandler(
        commands=cast("Commands", Answering(answered)),
        publisher=cast("Publisher", publisher),
        dead_letters=DeadLetters(cast("Publisher", publisher), SetClock()),
    )
    asked = delivery(command)
    await handler([asked])
    assert asked.settled
    (message,) = publisher.messages
    return message


def again(message: Outgoing) -> Incoming:
    """It comes back, by way of the retry queue."""
    return replace(
        COMMAND,
        routing_key=message.routing_key,
        headers={**message.headers, "x-death": "the broker's"},
        app_id=message.app_id,
    )


OURS = {"june-attempts": 1, "june-routing-key": "june.session.create.v1"}


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({}, {}),
        ({"colour": "red", "deadline": 17, "x-death": "odd"}, {"colour": "red", "deadline": 17}),
        ({"deadline": 17, "filler": "a" * 130_000}, {"deadline": 17}),
        ({"deadline": "a" * 130_000}, {}),
        ({f"h{n}": n for n in range(15_000)}, {}),
        ({"june-attempts": 2**63 - 1, "june-routing-key": 7}, {}),
        ({"CC": ["june.commands.v1"], "BCC": ["june.commands.v1"]}, {}),
    ],
)
async def test_it_comes_back_whatever_headers_it_has(
    headers: dict[str, HeaderValue], kept: dict[str, HeaderValue]
) -> None:
    """Without those that leave no room in a frame, and those that would send copies to other queues."""
    message = await handled(replace(COMMAND, headers=headers))
    assert (message.routing_key, message.headers) == (COMMANDS_RETRY_QUEUE, {**kept, **OURS})


async def test_tries_are_counted() -> None:
    """Up to a number that a header holds, whatever somebody wrote there."""
    first = await handled(COMMAND)
    second = await handled(again(first))
    assert second.headers == {**OURS, "june-attempts": 2}
    for odd, counted in ((2**63 - 1, 1_000_001), (-1, 1), ("many", 1)):
        third = await handled(replace(again(second), headers={"june-attempts": odd}))
        assert third.headers["june-attempts"] == counted


async def test_a_dead_letter_tells_where_the_command_came_from_at_first() -> None:
    """As it was before it was retried: its key and its headers, and how often it was tried."""
    retried = await handled(replace(COMMAND, headers={"colour": "red"}, app_id="shop"))
    letter = await handled(again(retried), NOT_FOUND)
    assert (letter.exchange, letter.app_id) == ("june.dead", "shop")
    assert letter.headers == {
        "colour": "red",
        "reason": "not_found",
        "error": "no such session",
        "origin_exchange": "june.commands",
        "origin_routing_key": "june.session.create.v1",
        "attempts": 2,
        "failed_at": 1_795_374_000_000,
    }
