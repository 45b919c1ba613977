"""The envelope: CloudEvents 1.0 in structured JSON, as bytes and as a value.

`decode` takes any bytes and gives an `Envelope`, or raises `MessageInvalid` that names each wrong attribute.
What it refuses: bodies that are not UTF-8, not JSON (NaN, a byte order mark, lone surrogates, more than about
200 levels) or not an object; `id`, `source` and `type` that are empty, over 255 bytes (an AMQP property holds
no more) or hold a control character; `data` that is not an object; a `time` that is no time.
Attributes it does not know are CloudEvents extensions, and ignored, and so is a `traceparent` that is no short text: it
goes on in all that follows from the message. Of a key given twice, the last counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

from schemas.errors import FieldProblem, MessageInvalid
from schemas.limits import ENVELOPE_ID_RULE, is_envelope_id
from schemas.times import format_time, parse_time
from schemas.unreadable import problems_of, read_leniently

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "june"
"""The `source` of everything that June sends."""

SPECVERSION = "1.0"
_REQUIRED_TEXT = ("id", "source", "type")
_OPTIONAL_TEXT = ("subject", "datacontenttype", "partitionkey", "sequence", "traceparent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message. `data` is plain JSON; whoever holds the envelope must not change it."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    datacontenttype: str = "application/json"
    partitionkey: str | None = None
    sequence: str | None = None
    traceparent: str | None = None
    data: Mapping[str, Any] = field(repr=False)  # may hold a token


def encode(envelope: Envelope) -> bytes:
    """Compact JSON with every attribute, in the contract's order: same envelope, same bytes."""
    return to_json(
        {
            "specversion": SPECVERSION,
            "id": envelope.id,
            "source": envelope.source,
            "type": envelope.type,
            "subject": envelope.subject,
            "time": None if envelope.time is None else format_time(envelope.time),
            "datacontenttype": envelope.datacontenttype,
            "partitionkey": envelope.partitionkey,
            "sequence": envelope.sequence,
            "traceparent": envelope.traceparent,
            "data": envelope.data,
        }
    )


def decode(body: bytes) -> Envelope:
    """The envelope in `body`. Raises MessageInvalid, and nothing else, for any bytes."""
    attributes = _object(body)
    problems = [*_text_problems(attributes), *_data_problems(attributes)]
    time, time_problem = _time(attributes.get("time"))
    if time_problem:
        problems.append(time_problem)
    if problems:
        raise MessageInvalid("the message is not a valid envelope", problems)
    traceparent = attributes.get("traceparent")
    return Envelope(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        subject=attributes.get("subject"),
        time=time,
        datacontenttype=attributes.get("datacontenttype") or "application/json",
        partitionkey=attributes.get("partitionkey"),
        sequence=attributes.get("sequence"),
        traceparent=traceparent if is_envelope_id(traceparent) else None,
        data=attributes["data"],
    )


def readable_id(body: bytes) -> str | None:
    """The `id` when it can be read although the rest may be wrong, for a reply's `command_id`."""
    found = (read_leniently(body) or {}).get("id")
    return found if isinstance(found, str) and is_envelope_id(found) else None


def format_sequence(number: int) -> str:
    """A session's running number as 20 decimal digits, so that text order is number order."""
    return f"{number:020d}"


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MessageInvalid(f"the body is not JSON in UTF-8: {error}", problems_of(body)) from error
    if not isinstance(value, dict):
        raise MessageInvalid("the body is not a JSON object")
    return value


def _text_problems(attributes: Mapping[str, Any]) -> list[FieldProblem]:
    problems = []
    if attributes.get("specversion") != SPECVERSION:
        problem = 'must be "1.0"' if "specversion" in attributes else "is required"
        problems.append(FieldProblem("specversion", problem))
    for name in _REQUIRED_TEXT:
        if not is_envelope_id(attributes.get(name)):
            problem = ENVELOPE_ID_RULE if name in attributes else "is required"
            problems.append(FieldProblem(name, problem))
    wrong = [name for name in _OPTIONAL_TEXT if not isinstance(attributes.get(name), str | None)]
    return problems + [FieldProblem(name, "must be a string") for name in wrong]


def _data_problems(attributes: Mapping[str, Any]) -> list[FieldProblem]:
    if isinstance(attributes.get("data"), dict):
        return []
    return [FieldProblem("data", "must be an object" if "data" in attributes else "is required")]


def _time(value: object) -> tuple[datetime | None, FieldProblem | None]:
    match value:
        case None:
            return None, None
        case str():
            try:
                return parse_time(value), None
            except ValueError as error:
                return None, FieldProblem("time", str(error))
        case _:
            return None, FieldProblem("time", "must be a string")
