"""Properties of messages as bytes."""

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, decode

from messaging.wire.properties import (
    HeaderValue,
    NotEncodable,
    Properties,
    decode_properties,
    encode_properties,
    encode_table,
)

SHORT = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
MOMENT = st.integers(0, 2**32).map(lambda s: datetime.fromtimestamp(s, tz=UTC))
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=40)
    | st.floats(allow_nan=False)
    | MOMENT
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=5), inner)
)
PROPERTIES = st.builds(
    Properties,
    content_type=SHORT,
    content_encoding=SHORT,
    headers=st.none() | st.dictionaries(st.text("abc", max_size=5), VALUE, max_size=4),
    delivery_mode=st.none() | st.integers(1, 2),
    priority=st.none() | st.integers(0, 255),
    correlation_id=SHORT,
    reply_to=SHORT,
    expiration=SHORT,
    message_id=SHORT,
    timestamp=st.none() | MOMENT,
    type=SHORT,
    app_id=SHORT,
)


def headers_of(*, table: bytes) -> dict[str, HeaderValue]:
    """What is read of a raw headers table."""
    raw = struct.pack(">HI", 1 << 13, len(table)) + table
    return dict(decode_properties(raw).headers or {})


@given(PROPERTIES)
def test_what_is_written_is_read_again(properties: Properties) -> None:
    """Every property comes back as it was written."""
    assert decode_properties(encode_properties(properties)) == properties


@given(st.binary(max_size=300))
def test_any_bytes_decode(data: bytes) -> None:
    """No bytes of a sender make the decoding raise."""
    decode_properties(data)


@given(PROPERTIES, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_damaged_properties_decode(properties: Properties, at: int, damage: bytes) -> None:
    """Nearly right bytes do not make the decoding raise either."""
    data = encode_properties(properties)
    decode_properties(data[:at] + damage + data[at + len(damage) :])


FIELD = st.tuples(
    st.binary(max_size=255).map(lambda name: bytes([len(name)]) + name),
    st.sampled_from(b"tbBsuIilLfdDSAFTVx").map(lambda kind: bytes([kind])),
    st.binary(max_size=12),
).map(b"".join)


@given(st.lists(FIELD, max_size=4).map(b"".join))
def test_whatever_headers_were_read_can_be_written(table: bytes) -> None:
    """Names that are not UTF-8 get no longer by being read, and no value is of a kind that has no place."""
    headers = headers_of(table=table)
    encode_properties(Properties(headers=headers))
    assert all(len(name.encode()) <= 255 for name in headers)


def test_a_header_name_of_broken_bytes_stays_as_long_as_it_was() -> None:
    """Each byte that is not UTF-8 is a question mark."""
    assert headers_of(table=b"\xff" + b"\xe9" * 254 + b"aI\x00\x00\x00\x07") == {"?" * 254 + "a": 7}


def test_pamqp_reads_the_same() -> None:
    """Another implementation reads the same values out of our bytes."""
    table: dict[str, HeaderValue] = {
        "room": "Küche",
        "at": 1_700_000_000_000,
        "small": -3,
        "yes": True,
        "no": None,
    }
    assert decode.field_table(encode_table(table))[1] == table
    raw = encode_properties(Properties(message_id="m", type="t", priority=3, app_id="a", correlation_id="c"))
    theirs = commands.Basic.Properties()
    theirs.unmarshal(struct.unpack(">H", raw[:2])[0], raw[2:])
    assert (theirs.message_id, theirs.message_type, theirs.priority) == ("m", "t", 3)
    assert (theirs.app_id, theirs.correlation_id) == ("a", "c")


def test_text_that_is_not_utf8_is_absent() -> None:
    """An address for the reply of broken bytes is None, and the properties after it are read."""
    raw = struct.pack(">H", 1 << 9 | 1 << 7) + b"\x02\xff\xfe" + b"\x02ok"
    assert decode_properties(raw) == Properties(reply_to=None, message_id="ok")


@given(st.binary(max_size=255))
def test_a_correlation_id_goes_back_byte_for_byte(data: bytes) -> None:
    """Whoever asks may use any bytes to know an answer by."""
    raw = struct.pack(">H", 1 << 10) + bytes([len(data)]) + data
    assert encode_properties(decode_properties(raw)) == raw


def test_a_time_out_of_range_is_absent() -> None:
    """A timestamp in milliseconds, or beyond all years, is None."""
    for seconds in (2**63, 2**64 - 1, 1_700_000_000_000_000):
        assert decode_properties(struct.pack(">HQ", 1 << 6, seconds)).timestamp is None


def test_the_user_id_is_skipped() -> None:
    """The property between type and app id is passed over, not mistaken for the app id."""
    raw = struct.pack(">H", 1 << 4 | 1 << 3) + b"\x05guest" + b"\x03app"
    assert decode_properties(raw) == Properties(app_id="app")


def test_a_table_a_thousand_levels_deep_is_read_as_far_as_it_makes_sense() -> None:
    """Nesting is followed for a few levels; the rest is None, without an error."""
    table = b"\x01kV"
    for _ in range(1000):
        table = b"\x01kF" + struct.pack(">I", len(table)) + table
    found: HeaderValue = headers_of(table=table)
    depth = 0
    while isinstance(found, dict):
        found, depth = found["k"], depth + 1
    assert found is None
    assert 10 < depth < 30


def test_a_header_of_an_unknown_kind_ends_the_table() -> None:
    """What stood before a header of a kind that AMQP does not have is kept."""
    assert headers_of(table=b"\x01aI\x00\x00\x00\x07\x01b?zzz") == {"a": 7}


@pytest.mark.parametrize(
    "properties",
    [
        Properties(message_id="x" * 256),
        Properties(type="é" * 128),
        Properties(correlation_id="\ud800"),
        Properties(headers={"n": 2**63}),
        Properties(headers={"s": {1, 2}}),  # type: ignore[dict-item]
        Properties(timestamp=datetime(1960, 1, 1, tzinfo=UTC)),
        Properties(timestamp=datetime(2026, 1, 1)),  # noqa: DTZ001 - the point of the case
    ],
)
def test_what_amqp_cannot_hold_is_refused(properties: Properties) -> None:
    """Text over 255 bytes, integers over 64 bits and times without a zone are NotEncodable."""
    with pytest.raises(NotEncodable):
        encode_properties(properties)
