"""A message as the payload of a record: all that is published, so that what is delivered later is the same bytes.

Refuses what JSON cannot hold (TypeError): the ingress publishes text and whole numbers only.
"""

import json
import struct
from typing import Final

from messaging.message import Outgoing

_LENGTH: Final = struct.Struct(">I")
_PROPERTIES: Final = tuple(name for name in Outgoing._fields if name != "body")


class Undecodable(ValueError):
    """A payload that is no message, or one of a version that wrote something this one does not know."""


def encode_message(message: Outgoing) -> bytes:
    """The payload of a message. Raises TypeError."""
    properties = {name: getattr(message, name) for name in _PROPERTIES}
    properties["headers"] = dict(message.headers)
    head = json.dumps(properties, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(head)), head, message.body))


def decode_message(payload: bytes) -> Outgoing:
    """The message of a payload; equal to the one that was encoded. Raises Undecodable."""
    try:
        (size,) = _LENGTH.unpack_from(payload)
        begin = _LENGTH.size
        properties = json.loads(payload[begin : begin + size])
        return Outgoing(**properties, body=payload[begin + size :])
    except (struct.error, ValueError, TypeError) as error:
        raise Undecodable(str(error)) from error
