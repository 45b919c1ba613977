"""What the ingress reads out of a body, and what it publishes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topology import partition_label, partition_of
from tests.unit.webhook_ingress.tokens import NOW
from webhook_ingress.events import Unreadable, WebhookEvent, read_event
from webhook_ingress.messages import dead_message, event_message


def read(**fields: Any) -> WebhookEvent | Unreadable:
    """The event in a body with these fields."""
    return read_event(json.dumps({"id": "EV_1", "event": "room_started", **fields}).encode())


def room_of(**fields: Any) -> str:
    """The room of an event with these fields, which must be readable."""
    event = read(**fields)
    assert isinstance(event, WebhookEvent)
    return event.room


@pytest.mark.parametrize(
    ("fields", "room"),
    [
        ({"room": {"name": "june room/ü*#"}}, "june room/ü*#"),
        ({"egressInfo": {"roomName": "e"}}, "e"),
        ({"egress_info": {"room_name": "e"}}, "e"),
        ({"ingressInfo": {"roomName": "i"}}, "i"),
        ({"ingress_info": {"room_name": "i"}}, "i"),
        ({"room": {"name": "r"}, "egressInfo": {"roomName": "e"}}, "r"),
        ({"room": {"sid": "RM_1"}, "egressInfo": {"roomName": "e"}}, "e"),
        ({"room": {"name": ""}, "ingressInfo": {"roomName": "i"}}, "i"),
        ({}, ""),
        ({"room": None}, ""),
        ({"room": "r"}, ""),
        ({"room": {"name": 5}}, ""),
        ({"room": {"name": ["r"]}, "egressInfo": {"roomName": "e"}}, "e"),
        ({"room": {"name": "x" * 4096}}, "x" * 4096),
        ({"room": {"name": "x" * 4097}}, ""),
    ],
)
def test_where_the_room_name_is(fields: dict[str, Any], room: str) -> None:
    """`room.name`, else egress, else ingress, else empty; what is no name counts as absent."""
    assert room_of(**fields) == room


@pytest.mark.parametrize("field", ["id", "event"])
@pytest.mark.parametrize(
    "value", [None, "", 5, True, ["x"], {"x": 1}, "x" * 256, "ü" * 128], ids=lambda v: repr(v)[:12]
)
def test_an_id_and_a_name_must_be_text_of_up_to_255_bytes(field: str, value: Any) -> None:
    """Anything else is unreadable, and the reason names the field."""
    event = read(**{field: value})
    assert isinstance(event, Unreadable)
    assert f"`{field}`" in event.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"id": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
        b'{"id": "\\udc00"}',
    ],
)
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    """It never raises."""
    assert read_event(body) == Unreadable("the body is not a JSON object")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["id", "event", "room", "egressInfo", "ingressInfo", "egress_info", "name", "roomName", "room_name"]
)


@given(st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON)))
def test_any_json_is_read_or_refused_and_can_be_published(fields: dict[str, Any]) -> None:
    """Whatever was read fits into AMQP's properties."""
    body = json.dumps(fields).encode()
    event = read_event(body)
    if isinstance(event, WebhookEvent):
        message = event_message(event, body, NOW)
        assert len(message.routing_key.encode()) <= 255
        assert len((message.type or "").encode()) <= 255


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """It never raises."""
    assert isinstance(read_event(body), Unreadable | WebhookEvent)


def test_the_message_of_an_event_is_as_the_contract_says() -> None:
    """Raw bytes, the room's partition, the event's id and type, and the two headers."""
    body = b'{"id":"EV_1",  "event":"track_published","room":{"name":"r"}}'
    message = event_message(WebhookEvent(id="EV_1", event="track_published", room="r"), body, NOW)
    assert message.body == body
    assert message.exchange == "june.rooms.v1"
    assert message.routing_key == f"{partition_label(partition_of('r'))}.track_published"
    assert (message.message_id, message.type) == ("EV_1", "livekit.track_published")
    assert message.content_type == "application/webhook+json"
    assert dict(message.headers) == {"room": "r", "received_at": int(NOW.timestamp() * 1000)}


def test_an_event_name_of_255_bytes_is_cut_where_amqp_ends_and_nowhere_else() -> None:
    """Routing key and type hold 255 bytes, cut between characters; the id stays whole."""
    name = "ü" * 127 + "x"
    event = read(event=name, id="i" * 255)
    assert isinstance(event, WebhookEvent)
    message = event_message(event, b"", NOW)
    assert message.message_id == "i" * 255
    assert name.startswith(message.routing_key.split(".", 1)[1])
    assert name.startswith((message.type or "").removeprefix("livekit."))
    assert 254 <= len(message.routing_key.encode()) <= 255


def test_a_dead_letter_has_the_contracts_headers() -> None:
    """The body as it was, why, and an empty origin."""
    message = dead_message(Unreadable("`id` is missing"), b"{}", NOW)
    assert (message.exchange, message.body) == ("june.dead", b"{}")
    assert dict(message.headers) == {
        "reason": "unreadable",
        "error": "`id` is missing",
        "origin_exchange": "",
        "origin_routing_key": "",
        "attempts": 1,
        "failed_at": int(NOW.timestamp() * 1000),
    }
