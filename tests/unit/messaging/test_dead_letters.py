"""Dead letters, there and back."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from messaging.dead_letters import OUR_HEADERS, Failed, NotReplayable, dead_letter_of, replay_of, told_of
from messaging.message import Incoming, Outgoing
from messaging.wire.properties import HeaderValue, encode_properties
from tests.support.deliveries import incoming

NOW = datetime(2026, 11, 22, 19, 0, 0, 250_000, tzinfo=UTC)
FAILED = Failed(reason="invalid_argument", error="data.user_id: is required", attempts=3, at=NOW)
INCOMING = incoming(
    b"\xff not json",
    queue="june.commands.v1",
    message_id="m1",
    type="june.session.create.v1",
    content_type="text/plain",
    correlation_id="c1",
    reply_to="replies",
    headers={"deadline": 17, "x-death": [{"count": 1}], "x-delivery-count": 2, "reason": "theirs"},
    exchange="june.commands",
    routing_key="june.session.create.v1",
    redelivered=True,
    delivery_count=2,
    timestamp=NOW.replace(microsecond=0),
)


def as_incoming(message: Outgoing) -> Incoming:
    """The dead letter as its reader gets it."""
    return replace(
        INCOMING,
        queue="june.dead.v1",
        exchange=message.exchange,
        routing_key=message.routing_key,
        headers={**message.headers, "x-delivery-count": 1},
        body=message.body,
        message_id=message.message_id,
    )


def test_a_dead_letter_is_the_message_as_it_was() -> None:
    """Body and properties stay; the broker's own headers go; ours say why and where from."""
    dead = dead_letter_of(INCOMING, FAILED)
    assert (dead.exchange, dead.body, dead.message_id) == ("june.dead", b"\xff not json", "m1")
    assert (dead.type, dead.content_type) == ("june.session.create.v1", "text/plain")
    assert (dead.correlation_id, dead.reply_to, dead.expiration) == ("c1", "replies", None)
    assert dead.headers == {
        "deadline": 17,
        "reason": "invalid_argument",
        "error": "data.user_id: is required",
        "origin_exchange": "june.commands",
        "origin_routing_key": "june.session.create.v1",
        "attempts": 3,
        "failed_at": 1_795_374_000_250,
    }


def test_a_replay_goes_back_to_where_it_came_from() -> None:
    """Same exchange, key, id and body, without what the dead-lettering added."""
    back = replay_of(as_incoming(dead_letter_of(INCOMING, FAILED)))
    assert (back.exchange, back.routing_key) == ("june.commands", "june.session.create.v1")
    assert (back.message_id, back.body, back.reply_to) == ("m1", b"\xff not json", "replies")
    assert back.headers == {"deadline": 17}


def death(**fields: HeaderValue) -> dict[str, HeaderValue]:
    """Headers as RabbitMQ writes them when it sets a message aside by itself."""
    entry: dict[str, HeaderValue] = {
        "count": 1,
        "reason": "delivery_limit",
        "queue": "june.rooms.v1.p07",
        "time": NOW.replace(microsecond=0),
        "exchange": "june.rooms.v1",
        "routing-keys": ["p07.room_started"],
        **fields,
    }
    older: dict[str, HeaderValue] = {"reason": "expired", "exchange": "elsewhere", "routing-keys": ["x"]}
    return {"room": "r", "x-death": [entry, older], "x-first-death-reason": "expired"}


def test_what_the_broker_set_aside_is_told_like_the_others() -> None:
    """Our headers are made of the latest that it noted; what a sender called `reason` is not taken for one of them."""
    told = told_of(replace(INCOMING, headers={**death(), "reason": "theirs"}))
    assert {name: told[name] for name in OUR_HEADERS} == {
        "reason": "delivery_limit",
        "error": "set aside by the broker, from june.rooms.v1.p07: delivery_limit",
        "origin_exchange": "june.rooms.v1",
        "origin_routing_key": "p07.room_started",
        "attempts": 1,
        "failed_at": 1_795_374_000_000,
    }
    assert told["room"] == "r"


def test_what_the_broker_set_aside_goes_back() -> None:
    """To the exchange and by the key that it came with, without what the broker added."""
    back = replay_of(replace(INCOMING, headers=death()))
    assert (back.exchange, back.routing_key, back.headers) == (
        "june.rooms.v1",
        "p07.room_started",
        {"room": "r"},
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"x-death": "odd"},
        {"x-death": []},
        {"x-death": ["odd"]},
        {"x-death": [{}]},
        death(**{"exchange": None, "routing-keys": 3, "time": "noon", "count": "many", "queue": b"\xff"}),
    ],
)
def test_odd_notes_of_a_broker_are_no_trouble(headers: dict[str, HeaderValue]) -> None:
    """A message may hold any header; what has no origin has no way back."""
    odd = replace(INCOMING, headers=headers)
    encode_properties(dead_letter_of(odd, FAILED).properties())
    told_of(odd)
    with pytest.raises(NotReplayable):
        replay_of(odd)


@pytest.mark.parametrize(
    "headers", [{}, {"origin_exchange": "", "origin_routing_key": ""}, {"origin_exchange": 7}]
)
def test_without_an_origin_there_is_no_way_back(headers: dict[str, str | int]) -> None:
    """What never was in an exchange, or has odd headers, cannot be replayed."""
    with pytest.raises(NotReplayable):
        replay_of(replace(INCOMING, headers=headers))


def test_a_long_error_and_an_old_time_can_be_sent() -> None:
    """Nothing that a sender wrote keeps its message from being set aside."""
    odd = replace(INCOMING, timestamp=datetime(1950, 1, 1, tzinfo=UTC), type=None, routing_key="�" * 255)
    dead = dead_letter_of(odd, replace(FAILED, error="x" * 1_000_000))
    assert len(encode_properties(dead.properties())) < 4096
