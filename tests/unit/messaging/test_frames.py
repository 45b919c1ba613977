"""Frames: cut out of a stream, and built."""

import itertools
from collections.abc import Mapping

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, header

from messaging.wire import frames
from messaging.wire.errors import ProtocolViolation
from messaging.wire.properties import NotEncodable, Properties, decode_properties

STREAM = b"".join(
    [
        pamqp.frame.marshal(commands.Basic.Ack(delivery_tag=7, multiple=True), 3),
        frames.HEARTBEAT_FRAME,
        pamqp.frame.marshal(body.ContentBody(b"x" * 40), 5),
        pamqp.frame.marshal(commands.Channel.OpenOk(), 5),
    ]
)


def publish(
    content: bytes, *, frame_max: int = 4096, headers: Mapping[str, str] | None = None
) -> list[frames.Frame]:
    """The frames of one published message."""
    data = frames.encode_publish(
        4,
        exchange="june.events",
        routing_key="june.x.v1",
        mandatory=True,
        properties=Properties(message_id="m1", delivery_mode=2, headers=headers),
        body=content,
        frame_max=frame_max,
    )
    return list(frames.FrameSplitter().feed(data))


@given(st.lists(st.integers(0, len(STREAM))))
def test_frames_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    """The same frames come out, however TCP cuts the bytes."""
    splitter = frames.FrameSplitter()
    at = [0, *sorted(cuts), len(STREAM)]
    found = [frame for a, b in itertools.pairwise(at) for frame in splitter.feed(STREAM[a:b])]
    assert found == list(frames.FrameSplitter().feed(STREAM))
    assert [frame.channel for frame in found] == [3, 0, 5, 5]


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"\x01\x00\x01\x00\x00\x00\x01xx", b"\x01\x00\x01\xff\xff\xff\xff" * 2],
)
def test_what_is_not_amqp_is_refused(data: bytes) -> None:
    """Another protocol, a missing end byte and an absurd size are violations."""
    with pytest.raises(ProtocolViolation):
        list(frames.FrameSplitter().feed(data))


def test_a_published_message_reads_back() -> None:
    """Another implementation reads exchange, key, flag and properties out of our frames."""
    method, head, content = publish(b"hello")
    theirs = frames.decode_method(method.payload)
    assert isinstance(theirs, commands.Basic.Publish)
    assert (theirs.exchange, theirs.routing_key, theirs.mandatory) == ("june.events", "june.x.v1", True)
    size, raw = frames.decode_content_header(head.payload)
    assert (size, decode_properties(raw).message_id, content.payload) == (5, "m1", b"hello")
    their_header = header.ContentHeader()
    their_header.unmarshal(head.payload)
    assert (their_header.body_size, their_header.properties.delivery_mode) == (5, 2)


def test_a_large_body_is_cut_into_frames() -> None:
    """No frame is over the negotiated size, its own eight bytes included."""
    _, _, *parts = publish(b"a" * 10_000, frame_max=4096)
    assert [len(part.payload) for part in parts] == [4088, 4088, 1824]


def test_properties_that_fill_a_frame_are_refused() -> None:
    """Properties are one frame: a broker ends the connection of who sends a larger one."""
    (_, head) = publish(b"", headers={"h": "a" * 4059})
    assert len(head.payload) == 4096 - 8
    with pytest.raises(NotEncodable, match="4089 bytes"):
        publish(b"", headers={"h": "a" * 4060})


def test_an_empty_body_has_no_frame() -> None:
    """A message without a body is a method and a header."""
    assert [frame.kind for frame in publish(b"")] == [frames.METHOD, frames.HEADER]


@pytest.mark.parametrize("multiple", [True, False])
def test_settlements_read_back(multiple: bool) -> None:
    """Another implementation reads our ack and nack."""
    ack = frames.encode_settle(2, 9, multiple=multiple, nack=False)
    nack = frames.encode_settle(2, 9, multiple=multiple, nack=True, requeue=True)
    drop = frames.encode_settle(2, 9, multiple=multiple, nack=True, requeue=False)
    assert ack == pamqp.frame.marshal(commands.Basic.Ack(9, multiple), 2)
    assert nack == pamqp.frame.marshal(commands.Basic.Nack(9, multiple, True), 2)
    assert drop == pamqp.frame.marshal(commands.Basic.Nack(9, multiple, False), 2)


def test_deliveries_and_returns_are_read() -> None:
    """Our reading of the hot methods agrees with another implementation's writing."""
    deliver = pamqp.frame.marshal(commands.Basic.Deliver("tag", 77, True, "ex", "rk"), 1)[7:-1]
    assert frames.decode_deliver(deliver) == frames.Deliver(
        delivery_tag=77, redelivered=True, exchange="ex", routing_key="rk"
    )
    returned = pamqp.frame.marshal(commands.Basic.Return(312, "NO_ROUTE", "ex", "rk"), 1)[7:-1]
    assert frames.decode_return(returned) == frames.Return(
        code=312, text="NO_ROUTE", exchange="ex", routing_key="rk"
    )
    assert frames.decode_confirm(pamqp.frame.marshal(commands.Basic.Nack(5, True), 1)[7:-1]) == (5, True)


def test_an_unknown_method_is_a_violation() -> None:
    """A method that AMQP 0-9-1 does not have ends the connection, not the process."""
    with pytest.raises(ProtocolViolation):
        frames.decode_method(b"\x00\x63\x00\x63")
