"""A command's delivery: what is read of its properties, where its answer goes, and what settles it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from messaging.acknowledger import Verdict
from messaging.delivery import Delivery
from messaging.failures import BrokerUnavailable, PublishError, Refused, Unroutable
from messaging.message import Outgoing
from messaging.publisher import Publisher
from messaging.wire.properties import HeaderValue
from schemas.replies import ErrorCode, ReplyError
from tests.support.bench_worker import SetClock
from tests.support.deliveries import delivery, incoming
from worker.adapters.amqp import commands
from worker.adapters.amqp.commands import CommandHandler
from worker.adapters.amqp.dead import DeadLetters
from worker.application.commands.executor import Answered, Commands

NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)

DONE = Answered(
    command_id="c-1",
    reply_id="r-1",
    reply=b"{}",
    type="june.session.list.v1",
    session_id=None,
    error=None,
    readable=True,
)
NOT_FOUND = replace(DONE, error=ReplyError.of(ErrorCode.NOT_FOUND, "no such session"))
UNREADABLE = replace(
    DONE, error=ReplyError.of(ErrorCode.INVALID_ARGUMENT, "the body is not JSON"), readable=False
)


class Answers:
    """In place of the use cases: gives one answer, and keeps the deadlines."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self.deadlines: list[datetime | None] = []

    async def execute(self, _body: bytes, *, deadline: datetime | None) -> Answered:
        self.deadlines.append(deadline)
        return self._answered


class Broker:
    """In place of a publisher: fails so often with these errors, then keeps what comes."""

    def __init__(self, *failures: PublishError) -> None:
        self.failures = list(failures)
        self.tries = 0
        self.sent: list[Outgoing] = []

    async def publish(self, message: Outgoing, *, timeout: timedelta) -> None:
        self.tries += 1
        assert timeout > timedelta()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries no time passes."""
    monkeypatch.setattr(commands, "backoff", lambda _tries: timedelta())


def command(
    *, correlation_id: str | None = "corr", headers: dict[str, HeaderValue] | None = None
) -> Delivery:
    """One that somebody waits for, as it came from the queue."""
    return delivery(incoming(correlation_id=correlation_id, reply_to="answers", headers=headers or {}))


async def handle(broker: Broker, *deliveries: Delivery, answered: Answered = DONE) -> Answers:
    """Have them handled: the use cases that were asked."""
    answers = Answers(answered)
    handler = CommandHandler(
        commands=cast("Commands", answers),
        publisher=cast("Publisher", broker),
        dead_letters=DeadLetters(cast("Publisher", broker), SetClock()),
    )
    for each in deliveries:
        await handler([each])
    return answers


@pytest.mark.parametrize(
    ("given", "sent"), [("corr", "corr"), ("", ""), ("\udcff\udcfe", "\udcff\udcfe"), (None, "c-1")]
)
async def test_an_answer_has_the_askers_correlation_id(given: str | None, sent: str) -> None:
    """As it was, odd ones too; where there is none, the command's id."""
    broker = Broker()
    await handle(broker, command(correlation_id=given))
    assert [(one.routing_key, one.correlation_id) for one in broker.sent] == [("answers", sent)]


@pytest.mark.parametrize("failures", [0, 3, 40])
async def test_an_answer_waits_for_the_broker(failures: int) -> None:
    """For as long as it is away."""
    broker = Broker(*[BrokerUnavailable("away")] * failures)
    asked = command()
    await handle(broker, asked)
    assert (len(broker.sent), asked.verdict) == (1, Verdict.ACK)


async def test_an_answer_that_its_queue_does_not_take_is_given_up() -> None:
    """A queue that is full for good takes no place from other commands."""
    broker = Broker(*[Refused("full")] * 100)
    asked = command()
    await handle(broker, asked)
    assert (broker.tries, broker.sent, asked.verdict) == (5, [], Verdict.ACK)


async def test_an_answer_to_nobody_is_settled_at_once() -> None:
    """A reply queue that is not there will not come back."""
    broker = Broker(Unroutable("no queue"))
    asked = command()
    await handle(broker, asked)
    assert (broker.tries, asked.verdict) == (1, Verdict.ACK)


@pytest.mark.parametrize("answered", [DONE, NOT_FOUND])
async def test_a_command_that_was_read_needs_nobody_who_waits(answered: Answered) -> None:
    """Whoever asked is gone: what was done stays done, and what was refused changed nothing."""
    broker = Broker(Unroutable("no queue"))
    await handle(broker, command(), answered=answered)
    assert broker.sent == []


@pytest.mark.parametrize("failures", [[Unroutable("no queue")], [Refused("full")] * 5], ids=["gone", "full"])
async def test_an_unreadable_command_is_answered_or_dead_lettered(failures: list[PublishError]) -> None:
    """One whose answer reaches nobody is not lost without a trace."""
    broker = Broker(*failures)
    asked = command()
    await handle(broker, asked, answered=UNREADABLE)
    (dead,) = broker.sent
    assert (dead.exchange, dead.headers["reason"], dead.headers["error"], dead.headers["attempts"]) == (
        "june.dead",
        "invalid_argument",
        "the body is not JSON",
        1,
    )
    assert asked.verdict is Verdict.ACK


async def test_an_unreadable_command_that_was_answered_is_no_dead_letter() -> None:
    """Its sender knows."""
    broker = Broker()
    await handle(broker, command(), answered=UNREADABLE)
    assert [one.routing_key for one in broker.sent] == ["answers"]


def deadlines() -> Sequence[tuple[Any, datetime | None]]:
    """Header values, and the moments that they are."""
    return [
        (NOW_MS, NOW),
        (float(NOW_MS), NOW),
        (str(NOW_MS), NOW),
        (NOW, NOW),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-(10**18), datetime(1, 1, 1, tzinfo=UTC)),
        (2**63 - 1, datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)),
        (float("inf"), datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)),
        (float("nan"), None),
        ("soon", None),
        ("", None),
        (True, None),
        (b"1", None),
        (None, None),
        ([NOW_MS], None),
        ({"at": NOW_MS}, None),
    ]


@pytest.mark.parametrize(("header", "moment"), deadlines(), ids=repr)
async def test_a_deadline_of_any_type_is_read(header: HeaderValue, moment: datetime | None) -> None:
    """Whatever type of number a client library makes of it; what is no number decides nothing."""
    answers = await handle(Broker(), command(headers={"deadline": header}))
    assert answers.deadlines == [moment]


async def test_without_a_deadline_there_is_none() -> None:
    """Nothing is assumed."""
    assert (await handle(Broker(), command())).deadlines == [None]


def test_a_command_that_comes_back_keeps_its_headers() -> None:
    """Those of its sender, of whatever type; the broker's own are the broker's."""
    came_back = command(headers={"deadline": 1.5, "mine": [1], "x-death": []}).message
    assert json.dumps(commands._own_headers(came_back)) == '{"deadline": 1.5, "mine": [1]}'
