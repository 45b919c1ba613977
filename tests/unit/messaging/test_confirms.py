"""Which message a confirm or a return is about."""

import pytest

from messaging.confirms import Batch, Ledger
from messaging.failures import BrokerUnavailable, Refused, Unroutable
from messaging.message import Outgoing


def message(name: str, *, routing_key: str = "rk", body: bytes = b"{}", mandatory: bool = True) -> Outgoing:
    """A message with this id."""
    return Outgoing(
        exchange="ex",
        routing_key=routing_key,
        body=body,
        message_id=name,
        type="t",
        content_type=None,
        mandatory=mandatory,
    )


def sent(ledger: Ledger, *messages: Outgoing) -> Batch:
    """All of them in flight."""
    batch = Batch(messages)
    for index in range(len(messages)):
        ledger.sent(batch, index)
    return batch


def give_back(ledger: Ledger, name: str, *, routing_key: str = "rk", body: bytes = b"{}") -> bool:
    """The broker returns a message."""
    return ledger.returned(
        exchange="ex", routing_key=routing_key, message_id=name, body=body, why="312 NO_ROUTE"
    )


async def test_multiple_confirms_all_before() -> None:
    """One confirm answers for every message up to its tag, and for none after it."""
    ledger = Ledger()
    batch = sent(ledger, *(message(str(n)) for n in range(4)))
    ledger.confirmed(3, multiple=True, ok=True)
    assert len(ledger) == 1
    ledger.confirmed(4, multiple=False, ok=False)
    assert batch.outcomes[:3] == [None] * 3
    assert isinstance(batch.outcomes[3], Refused)


async def test_confirms_in_any_order() -> None:
    """Confirms out of order, doubled or for unknown tags settle each message once."""
    ledger = Ledger()
    batch = sent(ledger, message("a"), message("b"), message("c"))
    ledger.confirmed(2, multiple=False, ok=True)
    ledger.confirmed(2, multiple=False, ok=False)
    ledger.confirmed(99, multiple=False, ok=False)
    ledger.confirmed(3, multiple=True, ok=True)
    assert batch.outcomes == [None, None, None]
    assert await batch.settled(until_s=0)


async def test_a_return_marks_its_message_alone() -> None:
    """A returned message is Unroutable once it is confirmed; its neighbours are fine."""
    ledger = Ledger()
    batch = sent(ledger, message("a"), message("b"), message("c"))
    assert give_back(ledger, "b")
    ledger.confirmed(3, multiple=True, ok=True)
    assert [type(outcome) for outcome in batch.outcomes] == [type(None), Unroutable, type(None)]


async def test_copies_in_flight_are_told_apart() -> None:
    """One id under two keys, or with two bodies, is not mixed up; copies are returned in order."""
    ledger = Ledger()
    batch = sent(
        ledger,
        message("a"),
        message("a", routing_key="other"),
        message("a", body=b"[]"),
        message("a", body=b"[]", mandatory=False),
        message("a", body=b"[]"),
    )
    assert give_back(ledger, "a", routing_key="other")
    assert give_back(ledger, "a", body=b"[]")
    assert give_back(ledger, "a", body=b"[]")
    assert not give_back(ledger, "a", body=b"[]")
    ledger.confirmed(5, multiple=True, ok=True)
    assert [isinstance(outcome, Unroutable) for outcome in batch.outcomes] == [False, True, True, False, True]


@pytest.mark.parametrize("multiple", [True, False])
async def test_a_lost_channel_leaves_the_unconfirmed_unknown(multiple: bool) -> None:
    """What was confirmed stays confirmed; the rest is BrokerUnavailable."""
    ledger = Ledger()
    batch = sent(ledger, message("a"), message("b"))
    ledger.confirmed(1, multiple=multiple, ok=True)
    ledger.fail(BrokerUnavailable("cut"))
    assert batch.outcomes[0] is None
    assert isinstance(batch.outcomes[1], BrokerUnavailable)
    assert await batch.settled(until_s=0)


async def test_a_late_confirm_changes_nothing() -> None:
    """A batch that was given up keeps its outcome when the confirm comes after all."""
    ledger = Ledger()
    batch = sent(ledger, message("a"))
    batch.give_up(BrokerUnavailable("too late"))
    ledger.confirmed(1, multiple=False, ok=True)
    assert isinstance(batch.outcomes[0], BrokerUnavailable)


async def test_an_empty_batch_is_settled() -> None:
    """Nothing to publish is published at once."""
    assert await Batch([]).settled(until_s=0)
