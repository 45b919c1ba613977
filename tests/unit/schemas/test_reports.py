"""The rules for a report's data."""

from typing import Any

import pytest

from schemas.envelope import Envelope
from schemas.errors import MessageInvalid, TypeUnknown
from schemas.reports import AiReply, Report, SttSpeechStarted, SttTranscript, parse_report

LEAST = {"job_id": "j", "utterance_id": "u", "text": "hello", "is_final": True}


def parse(type_: str, data: dict[str, Any]) -> Report:
    return parse_report(Envelope(id="1", source="stt-1", type=type_, data=data))


def wrong_fields(type_: str, data: dict[str, Any]) -> list[str]:
    with pytest.raises(MessageInvalid) as caught:
        parse(type_, data)
    return [problem.field for problem in caught.value.problems]


def test_a_newer_service_may_say_more() -> None:
    """Fields that June does not know are ignored, whatever they hold."""
    assert parse(SttTranscript.TYPE, {**LEAST, "words": ["\0"], "x": None}) == parse(
        SttTranscript.TYPE, LEAST
    )


def test_optional_fields_may_be_null() -> None:
    """Null is the same as absent."""
    nulls = dict.fromkeys(("attempt", "language", "confidence", "start_ms", "end_ms"))
    assert parse(SttTranscript.TYPE, {**LEAST, **nulls}) == parse(SttTranscript.TYPE, LEAST)


def test_a_confidence_may_be_a_whole_number() -> None:
    """JSON writes 1.0 as 1 in some languages."""
    report = parse(SttTranscript.TYPE, {**LEAST, "confidence": 1})
    assert isinstance(report, SttTranscript)
    assert report.confidence == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_id", ""),
        ("job_id", 5),
        ("utterance_id", "u" * 256),
        ("text", None),
        ("text", "a\0"),
        ("text", "x" * (1024 * 1024 + 1)),
        ("is_final", 1),
        ("is_final", "true"),
        ("attempt", 0),
        ("attempt", "1"),
        ("confidence", "0.9"),
        ("confidence", float("nan")),
        ("confidence", True),
        ("confidence", 10**400),
        ("start_ms", -1),
        ("end_ms", 2**53),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_field_of_a_wrong_type_is_named(field: str, value: Any) -> None:
    """Known fields are checked, and the one that is wrong is named."""
    assert wrong_fields(SttTranscript.TYPE, {**LEAST, field: value}) == [field]


@pytest.mark.parametrize("value", ["soon", 5, "2026-11-22T19:00:00"])
def test_a_time_must_name_a_moment(value: Any) -> None:
    """`at` is an RFC 3339 time with an offset."""
    assert wrong_fields(SttSpeechStarted.TYPE, {"job_id": "j", "at": value}) == ["at"]


def test_parts_count_from_zero() -> None:
    """The first part of an answer is part 0."""
    data = {"turn_id": "t", "text": "", "is_final": False}
    report = parse(AiReply.TYPE, {**data, "part": 0})
    assert isinstance(report, AiReply)
    assert report.part == 0
    assert wrong_fields(AiReply.TYPE, {**data, "part": -1}) == ["part"]


def test_an_unknown_report_is_said() -> None:
    """A command is no report."""
    with pytest.raises(TypeUnknown):
        parse("june.session.create.v1", {})
