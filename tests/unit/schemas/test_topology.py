"""The topology as data, and the partition of a room."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topology
from schemas.topology import TOPOLOGY, Queue

QUEUES = {queue.name: queue for queue in TOPOLOGY.queues}


def test_the_queues_are_those_of_the_contract() -> None:
    """Commands, 16 partitions, three kinds of work, the dead letters, two logs and the delay for commands."""
    partitions = {f"june.rooms.v1.p{number:02d}" for number in range(16)}
    work = {"june.stt.jobs.v1", "june.ai.jobs.v1", "june.tts.jobs.v1"}
    logs = {"june.events.log", "june.pipeline.log"}
    rest = {"june.commands.v1", "june.commands.retry.v1", "june.dead.v1"}
    assert set(QUEUES) == partitions | work | logs | rest


def test_every_binding_is_to_a_declared_exchange() -> None:
    """The order of the declaration works: exchanges first."""
    exchanges = {exchange.name for exchange in TOPOLOGY.exchanges}
    assert exchanges == {"june.commands", "june.rooms.v1", "june.events", "june.pipeline", "june.dead"}
    assert {binding.exchange for queue in TOPOLOGY.queues for binding in queue.bindings} <= exchanges
    assert {
        str(queue.arguments.get("x-dead-letter-exchange", "june.dead")) for queue in TOPOLOGY.queues
    } <= exchanges


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_arguments_are_safe_on_every_broker(queue: Queue) -> None:
    """The queue's type is said, a quorum queue has a delivery limit, and dead-lettering has all that it needs."""
    assert queue.arguments["x-queue-type"] == queue.kind
    assert (queue.kind == "quorum") == ("x-delivery-limit" in queue.arguments)
    if "x-dead-letter-exchange" in queue.arguments:
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"


def test_only_partitions_have_a_single_active_consumer() -> None:
    """Order within a room needs one reader; everything else is shared."""
    single = {name for name, queue in QUEUES.items() if queue.arguments.get("x-single-active-consumer")}
    assert single == {topology.partition_queue(number) for number in range(16)}


def test_jobs_that_expired_are_dropped() -> None:
    """A job that nobody took in time goes nowhere: its lease brings the next attempt."""
    jobs = ("june.stt.jobs.v1", "june.ai.jobs.v1", "june.tts.jobs.v1")
    assert not any("x-dead-letter-exchange" in QUEUES[name].arguments for name in jobs)


@pytest.mark.parametrize(("room", "partition"), [("", 0), ("june-room", 3), ("Besprechung/ü 1", 15)])
def test_the_partition_of_a_room_never_changes(room: str, partition: int) -> None:
    """crc32 of the name as UTF-8, mod 16: publishers of every version and language agree."""
    assert topology.partition_of(room) == partition


@given(
    room=st.text(st.characters(exclude_categories=[])), event=st.text(st.characters(exclude_categories=[]))
)
def test_every_event_has_a_routing_key_that_amqp_can_hold(room: str, event: str) -> None:
    """Any room and event name gives a key of at most 255 bytes that leads into the room's partition."""
    key = topology.room_event_key(room, event * 50)
    assert len(key.encode()) <= 255
    assert key.startswith(topology.partition_label(topology.partition_of(room)) + ".")


def test_reports_go_into_the_partition_of_their_room() -> None:
    """`report_to` leads where the room's webhooks are."""
    target = topology.report_to("june-room")
    assert (target.exchange, target.routing_key) == ("june.rooms.v1", "p03.report")


def test_webhooks_say_when_they_came() -> None:
    """`received_at` is in epoch milliseconds."""
    moment = datetime(2026, 11, 22, 19, 0, 0, 123_000, UTC)
    assert topology.webhook_headers("r", moment) == {"room": "r", "received_at": 1795374000123}
