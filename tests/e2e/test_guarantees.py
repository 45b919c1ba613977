"""What June guarantees when something breaks: a worker, LiveKit, the database, the broker.

Each test breaks one thing under load and then asks, from outside: is anything lost, doubled, out of order, or left
running?
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aio_pika
import aiohttp
import pytest
from aio_pika.exceptions import AMQPError

from deploy.servers import Postgres, RabbitMQ
from tests.e2e.client import Client, Inbox, Received, command
from tests.e2e.installation import JUNE_SENDS, Install, Installation
from tests.e2e.load import Load, deliver, under_load
from tests.e2e.names import CREATE, CREATED, DELETE, ENDED, GET, JOINED, LIST, START
from tests.e2e.processes import Part
from tests.e2e.stories import (
    complete,
    consistent,
    conversation,
    once,
    post_side_by_side,
    told,
)
from tests.e2e.webhooks import RoomStory, microphone, person
from tests.support.polling import until

ANSWERED_WITHIN_S = 5.0
SLACK_S = 1.5
"""For the way there and back on a busy machine."""


# Workers.


@pytest.mark.timeout(300)  # each round starts a worker
async def test_a_worker_killed_at_any_moment_loses_nothing(amqp_url: str, install: Install) -> None:
    """Of two workers, one after the other is killed at random moments: every event is told, once but for copies with
    the same id and bytes; every command is answered; the state is right."""
    dice = random.Random(7)
    async with install(amqp_url, workers=2) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        async with under_load(june, client) as load:
            for round_ in range(4):
                await asyncio.sleep(dice.uniform(0, 0.5))  # the moment of the crash, anywhere in the work
                june.workers[round_ % 2].kill()
                june.workers[round_ % 2] = await june.parts.start("worker")
            await load.more_rooms(4)
        await _nothing_lost(june, client, inbox, load)


async def test_a_lone_worker_killed_goes_on_when_it_is_back(amqp_url: str, install: Install) -> None:
    """With nobody to take over, all waits for the next start and is done then."""
    dice = random.Random(8)
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        async with under_load(june, client, side_by_side=1) as load:
            for _ in range(3):
                await load.more_rooms(2)
                await asyncio.sleep(dice.uniform(0, 0.2))  # the moment of the crash
                june.workers[0].kill()
                june.workers[0] = await june.parts.start("worker")
        await _nothing_lost(june, client, inbox, load)


async def test_a_worker_that_stood_still_does_no_harm(
    amqp_url: str, rabbitmq_server: RabbitMQ, install: Install, postgres_url: str
) -> None:
    """It is stopped under load, loses its connections, and wakes up with a full buffer after another took over: what it
    does then changes nothing."""
    async with (
        install(amqp_url, workers=2, JUNE_DATABASE_URL=postgres_url) as june,
        Client(june.amqp_url) as client,
    ):
        inbox = await client.subscribe(*JUNE_SENDS)
        async with under_load(june, client) as load:
            for worker in june.workers:
                await load.more_rooms(8)
                worker.pause()
                await _close_connections(rabbitmq_server, worker)
                await load.more_rooms(12)
                worker.resume()
                await worker.ready()
                await load.more_rooms(8)
        await _nothing_lost(june, client, inbox, load)


async def test_a_worker_that_is_stopped_hands_over_in_order(amqp_url: str, install: Install) -> None:
    """SIGTERM under load: it drains and exits 0, another goes on, and there is not even a copy."""
    async with install(amqp_url, workers=2) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        async with under_load(june, client) as load:
            for index in range(2):
                await load.more_rooms(6)
                await june.workers[index].stop()
                await load.more_rooms(6)
                june.workers[index] = await june.parts.start("worker")
        ids = Counter(one.envelope["id"] for one in inbox.all)
        assert max(ids.values()) == 1
        await _nothing_lost(june, client, inbox, load)


async def test_a_copy_that_another_worker_gets_is_answered_the_same(amqp_url: str, install: Install) -> None:
    """Copies of commands, each on either of three workers at the same moment: one session each."""
    async with install(amqp_url, workers=3) as june, Client(june.amqp_url) as client:
        bodies = [command(CREATE, {"user_id": "ann", "metadata": {"n": number}}) for number in range(10)]
        answers = await asyncio.gather(*(client.ask_bytes(body) for body in bodies * 6))
        sessions = [answer["result"]["session"] for answer in answers]
        for number in range(10):
            assert all(session == sessions[number] for session in sessions[number::10])
        assert len({session["session_id"] for session in sessions}) == 10


# LiveKit.


async def test_livekit_down_is_unavailable_and_the_retry_finishes(amqp_url: str, install: Install) -> None:
    """A create answers `unavailable` within 5 s and leaves no session; the same command again makes it, once."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        await june.livekit.down()
        named = command(CREATE, {"user_id": "ann", "session_id": "mine"})
        unnamed = command(CREATE, {"user_id": "ann"})
        for body in (named, unnamed):
            await _is_unavailable(client, body)
        assert (await client.refused(GET, {"session_id": "mine"}))["code"] == "not_found"
        story = RoomStory()
        await june.webhook.all(story.started(), story.joined(person("bob")))
        assert JOINED in [one.type for one in (await told(june, inbox, story.name))[story.name]]
        await june.livekit.up()
        for body in (named, unnamed):
            first = await client.ask_bytes(body)
            assert first["ok"], first
            assert (await client.ask_bytes(body))["result"]["session"] == first["result"]["session"]
        listed = await client.ok(LIST, {"user_id": "ann"})
        assert len(listed["sessions"]) == 2


async def test_a_silent_livekit_is_unavailable_in_time(amqp_url: str, install: Install) -> None:
    """One that takes connections and does not answer: `unavailable` within 5 s; the retry finishes the same session."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        june.livekit.slow(timedelta(seconds=20))
        bodies = [command(CREATE, {"user_id": "ann", "session_id": f"mine-{number}"}) for number in range(5)]
        await asyncio.gather(*(_is_unavailable(client, body) for body in bodies))
        june.livekit.slow(timedelta())
        for number, body in enumerate(bodies):
            answer = await client.ask_bytes(body)
            assert answer["result"]["session"]["session_id"] == f"mine-{number}"
            assert answer["result"]["session"]["livekit_room_sid"] == june.livekit.room_sid(f"mine-{number}")


@pytest.mark.parametrize("code", ["internal", "unavailable", "deadline_exceeded", "resource_exhausted"])
async def test_an_error_of_livekit_is_not_remembered(amqp_url: str, install: Install, code: str) -> None:
    """A create that met LiveKit's trouble is retryable, and works when the trouble is over."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        june.livekit.fail_next(code, of="CreateRoom")
        body = command(CREATE, {"user_id": "ann"})
        answer = await client.ask_bytes(body)
        assert (answer["error"]["code"], answer["error"]["retryable"]) == ("unavailable", True)
        assert (await client.ask_bytes(body))["ok"]


async def test_a_delete_that_livekit_did_not_carry_out_is_kept(amqp_url: str, install: Install) -> None:
    """It answers `unavailable`, the session has ended, and the room is closed as soon as LiveKit does it."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        made = (await client.ok(CREATE, {"user_id": "ann"}))["session"]
        june.livekit.join(made["room_name"], "ann")
        await inbox.first(lambda one: one.type == JOINED)
        june.livekit.fail_next("unavailable", times=3, of="DeleteRoom")
        delete = command(DELETE, {"session_id": made["session_id"]})
        await _is_unavailable(client, delete)
        assert june.livekit.room_sid(made["room_name"])
        await inbox.first(lambda one: one.type == ENDED)
        found = await client.ok(GET, {"session_id": made["session_id"]})
        assert (found["session"]["status"], found["access_token"]) == ("ended", None)
        await until(lambda: june.livekit.room_sid(made["room_name"]) is None, within_s=40)
        assert (await client.ask_bytes(delete))["result"]["session"]["end_reason"] == "deleted"


async def test_a_deleted_sessions_room_that_comes_back_is_closed(amqp_url: str, install: Install) -> None:
    """By its old token, which LiveKit still takes; a live session that has the name by then keeps its room."""
    async with install(amqp_url) as june, Client(june.amqp_url) as client:
        made = await client.ok(CREATE, {"user_id": "ann", "room_name": "the room"})
        await client.ok(DELETE, {"session_id": made["session"]["session_id"]})
        june.livekit.join_by_token(made["access_token"])
        await until(lambda: june.livekit.room_sid("the room") is None, within_s=20)
        again = await client.ok(CREATE, {"user_id": "ann", "room_name": "the room"})
        june.livekit.join_by_token(made["access_token"])
        await june.livekit.settled()
        inbox = await client.subscribe(*JUNE_SENDS)
        await told(june, inbox, "the room")
        assert june.livekit.room_sid("the room") == again["session"]["livekit_room_sid"]


# The database.


@pytest.mark.parametrize("how", ["pause", "stop"])
async def test_the_database_down_loses_nothing(
    amqp_url: str, install: Install, own_postgres: Postgres, how: str
) -> None:
    """Webhooks are taken, commands are `unavailable` within 5 s, nothing is acknowledged or dead-lettered; when it is
    back all goes on by itself."""
    database = own_postgres.new_database()
    async with install(amqp_url, JUNE_DATABASE_URL=database) as june, Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        kept = command(CREATE, {"user_id": "ann"})
        first = await client.ask_bytes(kept)
        story, ann = RoomStory(), person("ann")
        await june.webhook.all(story.started(), story.joined(ann))
        await told(june, inbox, story.name)
        so_far = len(inbox.all)
        getattr(own_postgres, how)()
        try:
            await june.webhook.all(story.published(ann, microphone()), story.left(ann))
            new = command(CREATE, {"user_id": "ann"})
            for body in (new, kept):
                await _is_unavailable(client, body)
            assert len(inbox.all) == so_far
            assert await client.depth("june.dead.v1") == 0
        finally:
            own_postgres.resume() if how == "pause" else own_postgres.start_again()
        await inbox.first(lambda one: one.type == START, within_s=60)
        await june.workers[0].ready()
        await june.webhook(story.finished())
        messages = once((await told(june, inbox, story.name))[story.name])
        consistent(messages)
        assert messages[-1].type == ENDED
        assert (await client.ask_bytes(kept))["result"]["session"] == first["result"]["session"]
        assert (await client.ask_bytes(new))["ok"]
        assert await client.depth("june.dead.v1") == 0
    own_postgres.drop_database(database)


# The broker.


async def test_a_broker_that_is_killed_loses_nothing(own_rabbitmq: RabbitMQ, install: Install) -> None:
    """Events that were answered 200 before, during and after are told, once but for copies; parts go on by
    themselves."""
    dice = random.Random(3)
    url = own_rabbitmq.new_vhost()
    async with install(url) as june:
        stories = [RoomStory() for _ in range(12)]
        plans, voices = {}, {}
        for story in stories:
            plans[story.name], voices[story.name] = conversation(story, dice)
        first = [plan[: len(plan) // 3] for plan in plans.values()]
        second = [plan[len(plan) // 3 : len(plan) // 2] for plan in plans.values()]
        await _declare_kept(url)
        await post_side_by_side(june, first)
        await asyncio.sleep(REGISTRY_WRITTEN_S)
        await post_side_by_side(june, second)
        own_rabbitmq.kill()
        rest = [plan[len(plan) // 2 :] for plan in plans.values()]
        posting = asyncio.gather(*(_deliver_all(june, plan) for plan in rest))
        await asyncio.to_thread(own_rabbitmq.start_again)
        await posting
        await june.ingress.ready()
        await june.workers[0].ready()
        async with AsyncExitStack() as stack:
            client, inbox = await _kept(stack, url)
            everything = await told(june, inbox, *plans, within_s=60)
            for name, messages in everything.items():
                distinct = once(messages)
                consistent(distinct)
                complete(distinct, plans[name], voices[name])
            assert await client.depth("june.dead.v1") == 0
            await client.ok(CREATE, {"user_id": "ann"})
    own_rabbitmq.delete_vhost(url)


async def test_parts_may_start_before_the_broker(own_rabbitmq: RabbitMQ, install: Install) -> None:
    """They wait and say so, stop in time when they are told to, and go on when it is there."""
    url = own_rabbitmq.new_vhost()
    async with install(url) as june:
        await asyncio.to_thread(own_rabbitmq.stop)
        try:
            early = await june.parts.start("worker", ready=False)
            told_to_stop = await june.parts.start("worker", ready=False)
            assert "RabbitMQ" in await early.ready(status=503)
            await told_to_stop.ready(status=503)
            await told_to_stop.stop()
        finally:
            await asyncio.to_thread(own_rabbitmq.start_again)
        await early.ready()
        async with Client(url) as client:
            await client.ok(CREATE, {"user_id": "ann"})
    own_rabbitmq.delete_vhost(url)


REGISTRY_WRITTEN_S = 3
"""RabbitMQ writes down which quorum queues and streams it runs half a second after the last was declared; a broker
that is killed before that does not start them again (docs/operations.md)."""

KEPT = "tests.kept"
"""A durable queue of the test's own, which lives through the broker's death."""


async def _declare_kept(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(KEPT, durable=True)
        for exchange, routing_key in JUNE_SENDS:
            await queue.bind(exchange, routing_key)


async def _kept(stack: AsyncExitStack, url: str) -> tuple[Client, Inbox]:
    """A client, and what was kept. A broker that has just started closes the connection of whoever consumes a queue
    that has no leader yet."""
    async with asyncio.timeout(60):
        while True:
            try:
                client = await stack.enter_async_context(Client(url))
                return client, await client.drain(KEPT)
            except AMQPError:
                await asyncio.sleep(0.5)


async def _deliver_all(june: Installation, plan: list[dict[str, Any]]) -> None:
    for body in plan:
        await deliver(june, body)


async def _is_unavailable(client: Client, body: bytes) -> None:
    """`unavailable`, retryable, within the contract's 5 s."""
    began = time.monotonic()
    answer = await client.ask_bytes(body)
    assert answer["ok"] is False, answer
    assert (answer["error"]["code"], answer["error"]["retryable"]) == ("unavailable", True)
    assert time.monotonic() - began < ANSWERED_WITHIN_S + SLACK_S


async def _nothing_lost(june: Installation, client: Client, inbox: Inbox, load: Load) -> None:
    """Every room's story is whole, every session was made once and is there, and nothing is dead."""
    everything = await told(june, inbox, *load.plans, within_s=60)
    for name, messages in everything.items():
        distinct = once(messages)
        consistent(distinct)
        complete(distinct, load.plans[name], load.voices[name])
    await _created_once(inbox, load)
    for session_id in load.sessions[-3:]:
        assert (await client.ok(GET, {"session_id": session_id}))["session"]["status"] == "created"
    assert await client.depth("june.dead.v1") == 0


async def _created_once(inbox: Inbox, load: Load) -> None:
    wanted = set(load.sessions)

    def last_one(one: Received) -> bool:
        if one.type == CREATED:
            wanted.discard(one.envelope["subject"])
        return not wanted

    # What a killed worker left is swept a few seconds later.
    await inbox.each_until(last_one, what="each session's beginning")
    made = Counter(one.envelope["subject"] for one in once(inbox.all) if one.type == CREATED)
    assert [session_id for session_id in load.sessions if made[session_id] != 1] == []
    assert not [error for error in load.refused if error["code"] != "unavailable"]


async def _close_connections(server: RabbitMQ, worker: Part) -> None:
    """The broker loses patience with a worker: its connections are closed, as after missed heartbeats."""
    assert server.management_url
    headers = {"Authorization": aiohttp.encode_basic_auth("guest", "guest")}
    mark = f"-{worker.process.pid}-"
    closed = 0
    async with asyncio.timeout(30), aiohttp.ClientSession(server.management_url, headers=headers) as session:
        while closed < 2:
            async with session.get("/api/connections") as answer:
                connections = await answer.json()
            for connection in connections:
                if mark in connection.get("user_provided_name", ""):
                    async with session.delete(
                        f"/api/connections/{quote(connection['name'], safe='')}"
                    ) as gone:
                        closed += gone.status == 204
            await asyncio.sleep(0.2)
