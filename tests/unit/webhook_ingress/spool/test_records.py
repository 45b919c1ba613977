"""The format: what is read is what was written, whatever happened to the bytes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.message import Outgoing
from webhook_ingress.events import Unreadable, WebhookEvent
from webhook_ingress.messages import dead_message, event_message
from webhook_ingress.spool.codec import Undecodable, decode_message, encode_message
from webhook_ingress.spool.records import Damage, Record, encode_record, scan

AT_MS = 1_763_841_600_123
NOW = datetime(2026, 11, 22, 19, 0, 0, 123_000, tzinfo=UTC)


GOLDEN = (
    "f54a5301000001525571d87d0000019aad26ea7b0000014c7b2265786368616e6765223a226a756e652e726f6f"
    "6d732e7631222c22726f7574696e675f6b6579223a227031332e726f6f6d5f73746172746564222c226d657373"
    "6167655f6964223a2245565f31222c2274797065223a226c6976656b69742e726f6f6d5f73746172746564222c"
    "22636f6e74656e745f74797065223a226170706c69636174696f6e2f776562686f6f6b2b6a736f6e222c22636f"
    "7272656c6174696f6e5f6964223a6e756c6c2c227265706c795f746f223a6e756c6c2c2268656164657273223a"
    "7b22726f6f6d223a2272222c2272656365697665645f6174223a313739353337343030303132337d2c2274696d"
    "657374616d70223a6e756c6c2c2265787069726174696f6e223a6e756c6c2c226d616e6461746f7279223a7472"
    "75652c22636f6e74656e745f656e636f64696e67223a6e756c6c2c226170705f6964223a6e756c6c7d7b7d"
)


def written(payloads: list[bytes], *, file: int = 7, offset: int = 0) -> bytes:
    """A file's bytes from `offset` on."""
    data = b""
    for payload in payloads:
        data += encode_record(payload, file=file, offset=offset + len(data), at_ms=AT_MS)
    return data


def read(data: bytes, *, file: int = 7, offset: int = 0) -> list[bytes | None]:
    """Payloads; None for damage."""
    found = list(scan(data, file=file, offset=offset))
    assert [item.start for item in found] == [offset, *(item.end for item in found)][: len(found)]
    assert not found or found[-1].end == offset + len(data)
    return [item.payload if isinstance(item, Record) else None for item in found]


@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(0, 2**40))
def test_what_was_written_is_read(payloads: list[bytes], offset: int) -> None:
    """Any bytes, from any place on."""
    assert read(written(payloads, offset=offset), offset=offset) == payloads


def test_a_torn_end_costs_nothing_but_itself() -> None:
    """Cut at every byte of the last record, what is before it is read, and the rest is damage to the end."""
    whole = written([b"first", b"second"])
    last = len(encode_record(b"second", file=7, offset=0, at_ms=AT_MS))
    for cut in range(1, last + 1):
        found = list(scan(whole[:-cut], file=7, offset=0))
        assert isinstance(found[0], Record)
        assert found[0].payload == b"first"
        rest = [Damage(start=found[0].end, end=len(whole) - cut)] if cut < last else []
        assert found[1:] == rest


def test_a_changed_byte_costs_its_record_alone() -> None:
    """Whichever byte of the middle one it is, those around it are read."""
    before, after = written([b"one"]), written([b"one", b"two"])
    whole = written([b"one", b"two", b"three"])
    for at in range(len(before), len(after)):
        data = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        assert read(data) == [b"one", None, b"three"]


@given(st.binary(max_size=400))
def test_no_bytes_are_taken_for_a_record(noise: bytes) -> None:
    """What was not written as one is damage."""
    assert read(noise) in ([], [None])


def test_a_record_is_good_in_its_place_alone() -> None:
    """The same bytes in another file, at another offset, or within a payload are none."""
    record = written([b"x"])
    assert read(record, file=8) == [None]
    assert read(record, offset=1) == [None]
    inner = written([b"x"], offset=500)
    outer = bytearray(written([b"-" * 9 + inner, b"y"]))
    outer[8] ^= 1
    assert read(bytes(outer)) == [None, b"y"]


EVENT = event_message(WebhookEvent(id="EV_ü", event="room_started", room="r/ü*\u0000"), b'{"a": \xff}', NOW)
DEAD = dead_message(Unreadable("the body is not a JSON object"), b"", NOW)


@pytest.mark.parametrize("message", [EVENT, DEAD], ids=["event", "dead letter"])
def test_a_message_comes_back_equal(message: Outgoing) -> None:
    """Properties, types of header values and the raw body: a copy has the same id and the same bytes."""
    back = decode_message(encode_message(message))
    assert back == message
    assert {name: type(value) for name, value in back.headers.items()} == {
        name: type(value) for name, value in message.headers.items()
    }


def test_yesterdays_records_are_read() -> None:
    """These bytes were written by the first version."""
    record = bytes.fromhex(GOLDEN)
    (item,) = scan(record, file=1, offset=0)
    assert isinstance(item, Record)
    assert item.at_ms == AT_MS
    assert decode_message(item.payload) == event_message(
        WebhookEvent(id="EV_1", event="room_started", room="r"), b"{}", NOW
    )


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\x00", b"\x00\x00\x00\x02[]", b'\x00\x00\x00\x09{"a": 1}x', b"\x00\x00\x00\x02{}"]
)
def test_a_payload_that_is_no_message_is_said(payload: bytes) -> None:
    """Undecodable, never another error."""
    with pytest.raises(Undecodable):
        decode_message(payload)


def test_what_json_cannot_hold_is_refused() -> None:
    """Rather than published as something else."""
    message = Outgoing(
        exchange="e", routing_key="k", body=b"", message_id="1", type="t", content_type="c", timestamp=NOW
    )
    with pytest.raises(TypeError):
        encode_message(message)
