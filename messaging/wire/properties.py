"""The properties of a message, as bytes: encoding is strict, decoding never raises.

A sender may put anything into the properties: text that is not UTF-8, a timestamp in the year 500,000, tables
a thousand levels deep. What cannot be read is `None`, or absent from the headers; the message itself always
arrives. Text may hold any Unicode character, NUL included. A correlation id goes back to its sender byte for
byte, text or not: what is not UTF-8 in it is held as Python's surrogate escapes.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final, NamedTuple, TypeAlias

HeaderValue: TypeAlias = (
    str | int | float | bytes | datetime | Sequence["HeaderValue"] | Mapping[str, "HeaderValue"] | None
)

_MAX_DEPTH: Final = 16
_U8, _U16, _U32, _U64 = struct.Struct(">B"), struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
_I8, _I16, _I32, _I64 = struct.Struct(">b"), struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_F32, _F64 = struct.Struct(">f"), struct.Struct(">d")
_DECIMAL = struct.Struct(">Bi")


class NotEncodable(ValueError):
    """A value that AMQP has no place for: text over 255 bytes, an integer over 64 bits, a strange type."""


class Properties(NamedTuple):
    """The basic properties that June reads and writes, in AMQP's order. `timestamp` has whole seconds on the wire.

    `expiration` is in milliseconds, written in decimal digits, as AMQP wants it. A tuple: each message makes one, and
    a frozen dataclass takes three times as long.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Mapping[str, HeaderValue] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    type: str | None = None
    app_id: str | None = None


def encode_short(text: str, *, errors: str = "strict") -> bytes:
    """Text of at most 255 bytes of UTF-8; raises NotEncodable."""
    try:
        data = text.encode(errors=errors)
    except UnicodeEncodeError as error:
        raise NotEncodable(f"{text[:40]!r} is not Unicode text") from error
    if len(data) > 255:
        raise NotEncodable(f"{text[:40]!r}… is {len(data)} bytes, over AMQP's 255")
    return _U8.pack(len(data)) + data


def encode_properties(properties: Properties) -> bytes:
    """The flag word and the values, in AMQP's order. Raises NotEncodable."""
    flags = 0
    parts = [b""]
    for (flag, encode), value in zip(_ENCODERS, properties, strict=True):
        if value is not None:
            flags |= flag
            parts.append(encode(value))
    parts[0] = _U16.pack(flags)
    return b"".join(parts)


def decode_properties(data: bytes) -> Properties:
    """What can be read of a content header's flag word and values; never raises."""
    values: dict[str, object] = {}
    try:
        (flags,) = _U16.unpack_from(data)
        at = 2
        more = flags & 1
        while more:  # words for properties that do not exist
            (word,) = _U16.unpack_from(data, at)
            more, at = word & 1, at + 2
        for flag, name, decode in _DECODERS:
            if flags & flag:
                values[name], at = decode(data, at)
    except (struct.error, IndexError):
        pass  # cut short: what was read stands
    values.pop("user_id", None)  # the broker takes it from that user alone, so it cannot be passed on
    return Properties(**values)  # type: ignore[arg-type]


def _read_short(data: bytes, at: int) -> tuple[str | None, int]:
    end = at + 1 + data[at]
    try:
        return data[at + 1 : end].decode(), end
    except UnicodeDecodeError:
        return None, end


def _read_echoed(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="surrogateescape"), end


def _read_octet(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + 1


def _read_timestamp(data: bytes, at: int) -> tuple[datetime | None, int]:
    (seconds,) = _U64.unpack_from(data, at)
    return _moment(seconds), at + 8


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None  # some clients send milliseconds: a time that far ahead says nothing


def _read_headers(data: bytes, at: int) -> tuple[dict[str, HeaderValue], int]:
    (size,) = _U32.unpack_from(data, at)
    end = at + 4 + size
    headers: dict[str, HeaderValue] = {}
    _read_table_into(headers, data[at + 4 : end], depth=0)
    return headers, end


def _read_table_into(table: dict[str, HeaderValue], data: bytes, *, depth: int) -> None:
    """Fill `table` with what can be read; stops at the first value of an unknown kind."""
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            key = _readable(data[at + 1 : end])
            table[key], at = _read_value(data, end, depth)
    except (struct.error, IndexError, _UnknownKind):
        pass


def _readable(name: bytes) -> str:
    """A header's name, with `?` for what is not UTF-8, so that it gets no longer and can be written again."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("utf-8", "replace").replace("\ufffd", "?")


class _UnknownKind(Exception):
    """A field of a kind that AMQP does not define: its length is unknown, so reading stops."""


def _read_value(data: bytes, at: int, depth: int) -> tuple[HeaderValue, int]:
    kind = data[at]
    at += 1
    if (plain := _PLAIN.get(kind)) is not None:
        (value,) = plain.unpack_from(data, at)
        return value, at + plain.size
    match chr(kind):
        case "S" | "x" | "A" | "F":
            return _read_sized(chr(kind), data, at, depth)
        case "t":
            return bool(data[at]), at + 1
        case "T":
            (seconds,) = _U64.unpack_from(data, at)
            return _moment(seconds), at + 8
        case "D":
            scale, unscaled = _DECIMAL.unpack_from(data, at)
            return unscaled / 10**scale, at + 5
        case "V":
            return None, at
        case _:
            raise _UnknownKind


def _read_sized(kind: str, data: bytes, at: int, depth: int) -> tuple[HeaderValue, int]:
    (size,) = _U32.unpack_from(data, at)
    end = at + 4 + size
    raw = data[at + 4 : end]
    if kind == "x":
        return raw, end
    if kind == "S":
        try:
            return raw.decode(), end
        except UnicodeDecodeError:
            return raw, end
    if depth >= _MAX_DEPTH:
        return None, end
    if kind == "F":
        table: dict[str, HeaderValue] = {}
        _read_table_into(table, raw, depth=depth + 1)
        return table, end
    return _read_array(raw, depth + 1), end


def _read_array(data: bytes, depth: int) -> list[HeaderValue]:
    items: list[HeaderValue] = []
    at = 0
    try:
        while at < len(data):
            value, at = _read_value(data, at, depth)
            items.append(value)
    except (struct.error, IndexError, _UnknownKind):
        pass
    return items


_encode_key = lru_cache(maxsize=64)(encode_short)  # June's own headers have a handful of names


def encode_table(table: Mapping[str, HeaderValue]) -> bytes:
    """A field table with its length in front. Raises NotEncodable."""
    body = b"".join([_encode_key(key) + _encode_value(value) for key, value in table.items()])
    return _U32.pack(len(body)) + body


def _encode_value(value: HeaderValue) -> bytes:
    match value:
        case str():
            return b"S" + _sized(value.encode("utf-8", "replace"))
        case bool():
            return b"t" + _U8.pack(value)
        case int():
            return _encode_int(value)
        case None:
            return b"V"
        case float():
            return b"d" + _F64.pack(value)
        case bytes():
            return b"x" + _sized(value)
        case datetime():
            return b"T" + _encode_moment(value)
        case Mapping():
            return b"F" + encode_table(value)
        case _:
            return _encode_array(value)


def _encode_array(value: object) -> bytes:
    if not isinstance(value, Sequence):
        raise NotEncodable(f"a header cannot hold a {type(value).__name__}")
    return b"A" + _sized(b"".join(_encode_value(item) for item in value))


def _encode_int(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"I" + _I32.pack(value)
    if -(2**63) <= value < 2**63:
        return b"l" + _I64.pack(value)
    raise NotEncodable("an integer over 64 bits")


def _encode_moment(value: datetime) -> bytes:
    seconds = -1 if value.tzinfo is None else int(value.timestamp())
    if seconds < 0:
        raise NotEncodable("a timestamp needs a time zone and a time after 1970")
    return _U64.pack(seconds)


def _sized(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


class _Field(NamedTuple):
    flag: int
    name: str
    encode: Callable[..., bytes]


# The kinds with a fixed size; RabbitMQ's letters, which differ from the specification's.
_PLAIN: Final[Mapping[int, struct.Struct]] = {
    ord("b"): _I8,
    ord("B"): _U8,
    ord("s"): _I16,
    ord("u"): _U16,
    ord("I"): _I32,
    ord("i"): _U32,
    ord("l"): _I64,
    ord("L"): _I64,
    ord("f"): _F32,
    ord("d"): _F64,
}
_FIELDS: Final = (
    _Field(1 << 15, "content_type", lru_cache(maxsize=64)(encode_short)),
    _Field(1 << 14, "content_encoding", encode_short),
    _Field(1 << 13, "headers", encode_table),
    _Field(1 << 12, "delivery_mode", _U8.pack),
    _Field(1 << 11, "priority", _U8.pack),
    _Field(1 << 10, "correlation_id", partial(encode_short, errors="surrogateescape")),
    _Field(1 << 9, "reply_to", encode_short),
    _Field(1 << 8, "expiration", encode_short),
    _Field(1 << 7, "message_id", encode_short),
    _Field(1 << 6, "timestamp", _encode_moment),
    _Field(1 << 5, "type", lru_cache(maxsize=256)(encode_short)),
    _Field(1 << 3, "app_id", encode_short),
)
_ENCODERS: Final = tuple((field.flag, field.encode) for field in _FIELDS)
_READERS: Final[Mapping[str, Callable[[bytes, int], tuple[object, int]]]] = {
    "headers": _read_headers,
    "correlation_id": _read_echoed,
    "delivery_mode": _read_octet,
    "priority": _read_octet,
    "timestamp": _read_timestamp,
}
_DECODERS: Final = (
    *((flag, name, _READERS.get(name, _read_short)) for flag, name, _ in _FIELDS[:-1]),
    (1 << 4, "user_id", _read_short),
    (1 << 3, "app_id", _read_short),
)
