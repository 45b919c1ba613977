"""Records of a spool file: a head with length and checksum, then the payload. Pure: no I/O.

Promises: a record is taken as it was written or not at all. The checksum covers the record's place (file and
offset), so that neither old bytes on the disk nor bytes within a payload are taken for a record.
What is no record is reported as damage up to the next true one, or up to the end.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

# No UTF-8 text has the first byte, so the search after a damage is not led astray by JSON. The last is a version.
_MAGIC: Final = b"\xf5JS\x01"
_HEAD: Final = struct.Struct(">4sIIQ")
_PLACE: Final = struct.Struct(">QQIQ")
HEAD_BYTES: Final = _HEAD.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A payload, written at `at_ms` (epoch), in the bytes from `start` to `end` of its file."""

    start: int
    end: int
    at_ms: int
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """The bytes from `start` to `end` hold no record that can be believed."""

    start: int
    end: int


def encode_record(payload: bytes, *, file: int, offset: int, at_ms: int) -> bytes:
    """The bytes of a record that will stand at `offset` of the file with this number."""
    size = len(payload)
    return _HEAD.pack(_MAGIC, size, _checksum(payload, file, offset, at_ms), at_ms) + payload


def scan(data: bytes, *, file: int, offset: int) -> Iterator[Record | Damage]:
    """What is in `data`, the bytes of the file from `offset` to its end, without a gap."""
    at = 0
    while at < len(data):
        record = _record_at(data, at, file, offset)
        if record is None:
            end = _next_record(data, at, file, offset)
            yield Damage(start=offset + at, end=offset + end)
            at = end
        else:
            yield record
            at = record.end - offset


def _checksum(payload: bytes, file: int, offset: int, at_ms: int) -> int:
    return crc32(payload, crc32(_PLACE.pack(file, offset, len(payload), at_ms)))


def _record_at(data: bytes, at: int, file: int, offset: int) -> Record | None:
    if len(data) - at < HEAD_BYTES:
        return None
    magic, size, checksum, at_ms = _HEAD.unpack_from(data, at)
    begin = at + HEAD_BYTES
    if magic != _MAGIC or size > len(data) - begin:
        return None
    payload = data[begin : begin + size]
    if checksum != _checksum(payload, file, offset + at, at_ms):
        return None
    return Record(start=offset + at, end=offset + begin + size, at_ms=at_ms, payload=payload)


def _next_record(data: bytes, damaged: int, file: int, offset: int) -> int:
    """Where the next record begins, or the end."""
    at = data.find(_MAGIC, damaged + 1)
    while at >= 0 and _record_at(data, at, file, offset) is None:
        at = data.find(_MAGIC, at + 1)
    return at if at >= 0 else len(data)
