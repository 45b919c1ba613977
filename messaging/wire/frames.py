"""AMQP 0-9-1 frames: cut out of a stream of bytes, and built for the few methods that each message needs.

Rare methods (open, declare, bind …) go through pamqp. Publish, deliver, return, ack and nack are packed here,
since they are what every message costs. Pure: no I/O.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import pamqp.frame
from pamqp import commands
from pamqp.base import Frame as Method

from messaging.wire.errors import ProtocolViolation
from messaging.wire.properties import NotEncodable, Properties, encode_properties, encode_short

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
DELIVER, RETURN, ACK, NACK = 0x3C003C, 0x3C0032, 0x3C0050, 0x3C0078
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"

_END: Final = b"\xce"
_HEAD = struct.Struct(">BHI")
_CONTENT = struct.Struct(">HHQ")
_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"
_ACK = struct.Struct(">BHIIQBB")
_TAG = struct.Struct(">QB")
_INDEX = struct.Struct(">I")
_CODE = struct.Struct(">H")


class Frame(NamedTuple):
    """One frame: its kind, its channel and what it carries."""

    kind: int
    channel: int
    payload: bytes


class Deliver(NamedTuple):
    """basic.deliver. Names are decoded with replacement: a routing key may be any bytes."""

    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Return:
    """basic.return: no queue took the message."""

    code: int
    text: str
    exchange: str
    routing_key: str


class FrameSplitter:
    """Cuts a stream into frames. Raises ProtocolViolation where the stream is not AMQP."""

    def __init__(self) -> None:
        """Begin at the start of a stream."""
        self.max_bytes = 1 << 20
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the next bytes of the stream and yield each frame that is complete."""
        buffer = self._rest + data if self._rest else data
        at, have = 0, len(buffer)
        try:
            while have - at >= 8:
                kind, channel, size = _HEAD.unpack_from(buffer, at)
                if size > self.max_bytes or kind not in {METHOD, HEADER, BODY, HEARTBEAT}:
                    raise ProtocolViolation(f"not an AMQP frame: kind {kind}, {size} bytes")
                end = at + 7 + size
                if end >= have:
                    break
                if buffer[end] != 0xCE:
                    raise ProtocolViolation("a frame without its end byte")
                payload = buffer[at + 7 : end]
                at = end + 1
                yield Frame(kind, channel, payload)
        finally:
            self._rest = buffer[at:]


def method_index(payload: bytes) -> int:
    """Which method a method frame holds: its class in the upper 16 bits, its number in the lower."""
    (index,) = _INDEX.unpack_from(payload)
    return int(index)


def decode_method(payload: bytes) -> Method:
    """A method in pamqp's terms; raises ProtocolViolation when it is unknown or cut short."""
    try:
        method: Method = commands.INDEX_MAPPING[method_index(payload)]()
        method.unmarshal(payload[4:])
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise ProtocolViolation(f"a method that cannot be read: {payload[:8].hex()}") from error
    return method


def encode_method(method: Method, channel: int) -> bytes:
    """The frame of one of pamqp's methods. Raises ValueError for a name that AMQP refuses."""
    return pamqp.frame.marshal(method, channel)


def decode_deliver(payload: bytes) -> Deliver:
    """Read basic.deliver; its consumer tag is skipped, a channel has one consumer here."""
    at = 5 + payload[4]
    tag, bits = _TAG.unpack_from(payload, at)
    exchange, at = _name(payload, at + 9)
    routing_key, _ = _name(payload, at)
    return Deliver(tag, bool(bits & 1), exchange, routing_key)


def decode_return(payload: bytes) -> Return:
    """Read basic.return."""
    (code,) = _CODE.unpack_from(payload, 4)
    text, at = _name(payload, 6)
    exchange, at = _name(payload, at)
    routing_key, _ = _name(payload, at)
    return Return(code=code, text=text, exchange=exchange, routing_key=routing_key)


def decode_confirm(payload: bytes) -> tuple[int, bool]:
    """Delivery tag and `multiple` of basic.ack and basic.nack."""
    tag, bits = _TAG.unpack_from(payload, 4)
    return int(tag), bool(bits & 1)


def decode_content_header(payload: bytes) -> tuple[int, bytes]:
    """Size of the body in bytes, and the properties as they came."""
    _, _, size = _CONTENT.unpack_from(payload)
    return int(size), payload[12:]


def encode_settle(channel: int, tag: int, *, multiple: bool, nack: bool, requeue: bool = False) -> bytes:
    """basic.ack, or basic.nack with or without requeue."""
    index = NACK if nack else ACK
    return _ACK.pack(METHOD, channel, 13, index, tag, multiple | requeue << 1, 0xCE)


def encode_publish(
    channel: int,
    *,
    exchange: str,
    routing_key: str,
    mandatory: bool,
    properties: Properties,
    body: bytes,
    frame_max: int,
) -> bytes:
    """All frames of one message. Raises NotEncodable before anything was built."""
    content = _CONTENT.pack(60, 0, len(body)) + encode_properties(properties)
    room = frame_max - 8
    if len(content) > room:
        # The broker would end the connection, and every message on it.
        raise NotEncodable(f"properties of {len(content)} bytes, over the {room} of a frame")
    parts = [
        _publish_frame(channel, exchange, routing_key, mandatory),
        _HEAD.pack(HEADER, channel, len(content)),
        content,
        _END,
    ]
    for at in range(0, len(body), room):
        piece = body[at : at + room]
        parts += (_HEAD.pack(BODY, channel, len(piece)), piece, _END)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _publish_frame(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    method = _PUBLISH + encode_short(exchange) + encode_short(routing_key) + bytes((mandatory,))
    return _HEAD.pack(METHOD, channel, len(method)) + method + _END


def _name(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return _decoded(data[at + 1 : end]), end


@lru_cache(maxsize=1024)
def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "replace")
