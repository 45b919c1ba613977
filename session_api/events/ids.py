"""The `id` of a server-sent event: opaque, and enough to go on after it. It holds the event's place in the log.

`next_of` refuses (None) whatever was not made here, so that a mistake is told and does not replay days of events.
"""

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from zlib import crc32

_SHAPE: Final = struct.Struct(">QI")
_TEXT_LENGTH: Final = 16


def id_of(offset: int) -> str:
    """The id of the event at this place: 16 characters."""
    return urlsafe_b64encode(_SHAPE.pack(offset, _check(offset))).decode()


def next_of(event_id: str) -> int | None:
    """The place after the event with this id; None when it is no id of June's."""
    try:
        offset, check = _SHAPE.unpack(urlsafe_b64decode(event_id.encode("ascii")))
    except (binascii.Error, struct.error, ValueError):
        return None
    known = len(event_id) == _TEXT_LENGTH and check == _check(offset) and id_of(offset) == event_id
    return offset + 1 if known and offset < 2**62 else None


def _check(offset: int) -> int:
    return crc32(f"june.events.log/{offset}".encode())
