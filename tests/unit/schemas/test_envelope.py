"""The envelope as bytes."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Envelope, decode, encode, format_sequence, readable_id
from schemas.errors import FieldProblem, MessageInvalid

LEAST: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "booking", "type": "t", "data": {}}


def wire(**changes: Any) -> bytes:
    return json.dumps(LEAST | changes).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in LEAST.items() if key != name}).encode()


def wrong_fields(body: bytes) -> list[str]:
    with pytest.raises(MessageInvalid) as caught:
        decode(body)
    return [problem.field for problem in caught.value.problems]


def test_the_least_that_a_sender_must_give() -> None:
    """specversion, id, source, type and data make an envelope; the rest is null or the default."""
    assert decode(wire()) == Envelope(id="1", source="booking", type="t", data={})


def test_every_attribute_is_written_in_the_order_of_the_contract() -> None:
    """What June sends has every attribute, with null where there is no value, as compact UTF-8."""
    body = encode(Envelope(id="ü", source="june", type="t", data={"a": 1}))
    assert (
        body
        == (
            '{"specversion":"1.0","id":"ü","source":"june","type":"t","subject":null,"time":null,'
            '"datacontenttype":"application/json","partitionkey":null,"sequence":null,"traceparent":null,"data":{"a":1}}'
        ).encode()
    )


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "data"])
def test_a_missing_attribute_is_named(name: str) -> None:
    """Each of the five required attributes is named when it is missing, and no other."""
    with pytest.raises(MessageInvalid) as caught:
        decode(without(name))
    assert caught.value.problems == (FieldProblem(name, "is required"),)


@pytest.mark.parametrize(
    "name", ["subject", "time", "datacontenttype", "partitionkey", "sequence", "traceparent"]
)
def test_an_optional_attribute_may_be_null_but_of_no_other_type(name: str) -> None:
    """Null is as good as absent; a number, an array or an object is named."""
    assert decode(wire(**{name: None})) == decode(wire())
    others: tuple[Any, ...] = (5, True, [], {})
    for value in others:
        assert wrong_fields(wire(**{name: value})) == [name]


@pytest.mark.parametrize("name", ["id", "source", "type"])
@pytest.mark.parametrize("value", ["", None, 5, [], "a\0b", "line\nbreak", "é" * 128, "x" * 256], ids=repr)
def test_names_fit_into_an_amqp_property(name: str, value: Any) -> None:
    """id, source and type are 1 to 255 bytes of text without control characters."""
    assert wrong_fields(wire(**{name: value})) == [name]


def test_the_longest_id_is_accepted() -> None:
    """255 bytes are not too many."""
    assert decode(wire(id="x" * 255)).id == "x" * 255


def test_all_that_is_wrong_is_named_at_once() -> None:
    """A sender need not try again and again to learn of each fault."""
    body = wire(specversion="0.3", id="", data=[], subject=1, time="yesterday")
    assert wrong_fields(body) == ["specversion", "id", "subject", "data", "time"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"\xef\xbb\xbf" + wire(),
        wire().decode().encode("utf-16"),
        b"[]",
        b"null",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        wire(data={"x": float("nan")}),
        wire(data={"x": float("inf")}),
        wire() + b"x",
        wire()[:-1],
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_no_json_object_is_refused_whole(body: bytes) -> None:
    """What cannot be read as a JSON object in UTF-8 has no field to name."""
    assert wrong_fields(body) == []
    assert readable_id(body) is None


def test_half_of_a_surrogate_pair_is_named_by_its_field() -> None:
    """JSON's grammar allows it and Unicode does not: its sender is told where it is, and of which command."""
    body = wire(
        data={"user_id": "\ud800", "stt": {"language": "a\udfff"}, "agents": ["ok", "\udc00"], "\ud800": 1}
    )
    assert wrong_fields(body) == ["agents.1", "stt.language", "user_id", "\ufffd"]
    assert readable_id(body) == LEAST["id"]
    assert wrong_fields(wire(id="\ud800")) == ["id"]
    assert readable_id(wire(id="\ud800")) is None
    assert wrong_fields(wire(data="\ud800")) == ["data"]


@pytest.mark.parametrize("levels", [201, 900])
def test_what_is_nested_too_deep_is_named_by_its_field(levels: int) -> None:
    """Deeper than the reader goes, and still JSON."""
    body = wire(data={"user_id": "ann", "metadata": json.loads('{"a":' * levels + "1" + "}" * levels)})
    assert wrong_fields(body) == ["metadata"]
    assert readable_id(body) == LEAST["id"]


def test_a_traceparent_that_is_none_is_ignored() -> None:
    """It would go on in every message that follows."""
    assert decode(wire(traceparent="x" * 256)).traceparent is None
    assert decode(wire(traceparent="a\nb")).traceparent is None
    assert decode(wire(traceparent="00-4bf9-00f0-01")).traceparent == "00-4bf9-00f0-01"


def test_a_key_that_is_there_twice_counts_as_the_last() -> None:
    """Duplicate keys are read as every common JSON reader reads them."""
    assert decode(wire()[:-1] + b',"id":"2"}').id == "2"


def test_unknown_attributes_are_ignored() -> None:
    """CloudEvents extensions of other people do no harm."""
    assert decode(wire(comexampleother="x", data_base64=5)) == decode(wire())


def test_an_id_is_read_although_the_rest_is_wrong() -> None:
    """A reply can name the command that could not be read, when its id is a good one."""
    assert readable_id(b'{"id":"c-1"}') == "c-1"
    assert readable_id(b'{"id":5}') is None
    assert readable_id(b'{"id":"a\\u0000"}') is None
    assert readable_id(b"{}") is None


def test_times_of_any_offset_are_utc() -> None:
    """What a sender's clock shows does not matter."""
    assert decode(wire(time="2026-11-22T20:00:00.5+01:00")).time == datetime(
        2026, 11, 22, 19, 0, 0, 500_000, UTC
    )


def test_sequences_sort_as_text() -> None:
    """A sequence has 20 digits, so that the order of text is the order of numbers."""
    assert format_sequence(12) == "00000000000000000012"
    assert format_sequence(9) < format_sequence(10)


@given(st.binary())
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Arbitrary bytes are an envelope or MessageInvalid, nothing else."""
    _decode_or_refuse(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*LEAST, "subject", "time", "sequence"), _JSON)))
def test_no_json_breaks_the_reader(attributes: dict[str, Any]) -> None:
    """Arbitrary JSON under an envelope's names is an envelope or MessageInvalid, nothing else."""
    _decode_or_refuse(json.dumps(attributes).encode())
    _decode_or_refuse(json.dumps(LEAST | attributes).encode())


def _decode_or_refuse(body: bytes) -> None:
    try:
        envelope = decode(body)
    except MessageInvalid:
        return
    assert readable_id(body) == envelope.id
