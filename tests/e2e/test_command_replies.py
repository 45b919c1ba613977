"""Where answers go, and when: odd places to reply to, deadlines of any type, and many askers while LiveKit hangs."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests.e2e.client import Client, command
from tests.e2e.installation import Install, Installation
from tests.e2e.names import CREATE, LIST
from tests.support.polling import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWERED_WITHIN_S = 5.0


async def test_direct_reply_to_is_answered(june: Installation) -> None:
    """RabbitMQ's own way of asking without a queue: one answer, to who asked."""
    answers: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with await aio_pika.connect(june.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        await queue.consume(answers.put, no_ack=True)
        commands = await channel.get_exchange("june.commands", ensure=False)
        for number in ("first", "second"):
            message = aio_pika.Message(
                command(LIST, {}), reply_to="amq.rabbitmq.reply-to", correlation_id=number
            )
            await commands.publish(message, LIST)
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                assert (await answers.get()).correlation_id == number
        assert answers.empty()


async def test_a_reply_queue_that_is_full_holds_nobody_up(june: Installation, client: Client) -> None:
    """Answers that it does not take are given up; those of others come in time."""
    async with await aio_pika.connect(june.amqp_url) as connection:
        channel = await connection.channel()
        full = await channel.declare_queue(
            exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        for _ in range(600):
            await client.send(command(LIST, {"limit": 1}), reply_to=full.name)
        await client.ok(LIST, {"limit": 1})

        async def all_are_taken() -> bool:
            return await client.depth("june.commands.v1") == 0

        await until(all_are_taken)
        await client.ok(LIST, {"limit": 1}, within_s=ANSWERED_WITHIN_S)


@pytest.mark.parametrize("queue", ["june.commands.v1", "june.rooms.v1.p00"])
async def test_an_answer_into_junes_own_queues_goes_round_once(client: Client, queue: str) -> None:
    """It is nothing that is read there: it is set aside, and the next command is answered."""
    dead = await client.drain("june.dead.v1")
    command_id = str(uuid.uuid4())
    await client.send(command(LIST, {"limit": 1}, command_id=command_id), reply_to=queue)
    letter = await dead.first(lambda one: command_id.encode() in one.body)
    assert letter.type == "june.reply.v1"
    await client.ok(LIST, {"limit": 1})


def past(type_: type) -> Any:
    """Ten minutes ago, as a client library of some language would write it; a float of AMQP is right to two minutes."""
    seconds = time.time() - 600
    return datetime.fromtimestamp(seconds, UTC) if type_ is datetime else type_(round(seconds * 1000))


@pytest.mark.parametrize("type_", [int, float, str, datetime])
async def test_a_deadline_may_be_of_any_amqp_type(client: Client, type_: type) -> None:
    """As long as it is a moment."""
    error = await client.refused(CREATE, {"user_id": "ann"}, headers={"deadline": past(type_)})
    assert error["code"] == "deadline_exceeded"


@pytest.mark.parametrize("odd", ["soon", "", True, None, [1], {"at": 1}, 2**63 - 1], ids=repr)
async def test_a_deadline_that_is_no_moment_decides_nothing(client: Client, odd: Any) -> None:
    """Nor does one that is further away than any calendar goes."""
    await client.ok(LIST, {"limit": 1}, headers={"deadline": odd})


@pytest.mark.parametrize("correlation_id", [" ", "🙂" * 63, "a\nb\0c", "x" * 255], ids=ascii)
async def test_a_correlation_id_comes_back_as_it_was(june: Installation, correlation_id: str) -> None:
    """Whatever text it is."""
    async with await aio_pika.connect(june.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        message = aio_pika.Message(command(LIST, {}), reply_to=queue.name, correlation_id=correlation_id)
        commands = await channel.get_exchange("june.commands", ensure=False)
        await commands.publish(message, LIST)
        async with asyncio.timeout(ANSWERED_WITHIN_S), queue.iterator(no_ack=True) as replies:
            reply = await anext(replies)
        assert reply.correlation_id == correlation_id


async def test_three_hundred_are_answered_in_time_while_livekit_hangs(
    amqp_url: str, install: Install
) -> None:
    """`unavailable` within 5 s for each, however many wait; what needs no LiveKit is not held up by them."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        june.livekit.slow(timedelta(seconds=30))

        async def asked(number: int) -> float:
            began = time.monotonic()
            answer = await client.ask(CREATE, {"user_id": f"user-{number}"})
            assert answer["error"]["code"] == "unavailable"
            return time.monotonic() - began

        creating = asyncio.gather(*(asked(number) for number in range(300)))
        began = time.monotonic()
        await client.ok(LIST, {"limit": 1})
        assert time.monotonic() - began < ANSWERED_WITHIN_S / 2
        assert max(await creating) < ANSWERED_WITHIN_S
        june.livekit.slow(timedelta())
        await client.ok(CREATE, {"user_id": "ann"})
