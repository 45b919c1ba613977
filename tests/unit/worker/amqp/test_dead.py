"""Setting aside: until the broker has it, and never for ever."""

from dataclasses import replace
from datetime import timedelta
from typing import cast

from messaging.acknowledger import Verdict
from messaging.failures import BrokerUnavailable, PublishError, Unsendable
from messaging.message import Incoming, Outgoing
from messaging.publisher import Publisher
from tests.support.bench_worker import SetClock
from tests.support.deliveries import delivery, incoming
from worker.adapters.amqp.dead import DeadLetters

COMMAND = incoming(queue="june.commands.v1", exchange="june.commands", routing_key="june.session.create.v1")


class Failing:
    """A publisher that fails with these, one after another, and then publishes."""

    def __init__(self, *failures: PublishError) -> None:
        self.failures = list(failures)
        self.messages: list[Outgoing] = []

    async def publish(self, message: Outgoing, *, timeout: timedelta) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append(message)


async def put(publisher: Failing, message: Incoming = COMMAND) -> Verdict | None:
    """What became of the delivery."""
    failed = delivery(message)
    dead_letters = DeadLetters(cast("Publisher", publisher), SetClock())
    await dead_letters.put(failed, reason="invalid_argument", error="odd", attempts=1)
    return failed.verdict


async def test_trouble_of_the_broker_is_waited_out() -> None:
    """It is acked only after the broker has the dead letter."""
    publisher = Failing(BrokerUnavailable("away"))
    assert await put(publisher) is Verdict.ACK
    assert len(publisher.messages) == 1


async def test_headers_that_cannot_be_sent_are_left_out() -> None:
    """The second try has ours alone."""
    publisher = Failing(Unsendable("over a frame"))
    assert await put(publisher, replace(COMMAND, headers={"theirs": "long"})) is Verdict.ACK
    (letter,) = publisher.messages
    assert "theirs" not in letter.headers
    assert letter.headers["reason"] == "invalid_argument"


async def test_what_can_never_be_sent_is_left_to_the_broker() -> None:
    """Dropped, it goes to the dead-letter exchange of its queue; tried again and again, it would hold its place."""
    publisher = Failing(Unsendable("a"), Unsendable("b"))
    assert await put(publisher) is Verdict.DROP
