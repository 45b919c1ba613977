"""The limits of what senders may write, as annotated types whose error says the whole rule.

Nothing is coerced: "5", 5.0 and true are no integers, 1 is no boolean. Text that cannot be stored or sent on
(NUL, lone surrogates) is refused everywhere. Lengths in bytes are those of UTF-8.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema, to_json

METADATA_MAX_BYTES = 64 * 1024
# Readers of JSON stop at about 200 levels, and a reply holds the metadata some levels down.
METADATA_MAX_LEVELS = 128
TEXT_MAX_BYTES = 1024 * 1024
NAME_MAX_BYTES = 256
ID_MAX_BYTES = 255
AGENTS_MAX = 16
INT32_MAX = 2**31 - 1
# The largest integer that every JSON reader, JavaScript's too, keeps exactly.
EXACT_INT_MAX = 2**53 - 1

DEFAULT_TOKEN_TTL_S = 900
DEFAULT_DEPARTURE_TIMEOUT_S = 20
DEFAULT_PAGE_LIMIT = 50

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LANGUAGE = re.compile(r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*")

ENVELOPE_ID_RULE = f"must be a string of 1 to {ID_MAX_BYTES} bytes of UTF-8 without control characters"


def is_envelope_id(value: object) -> bool:
    """Whether `value` may be an envelope's id, source or type: an AMQP short string holds it."""
    return isinstance(value, str) and _fits(value, 1, ID_MAX_BYTES) and not _CONTROL.search(value)


@dataclass(frozen=True, slots=True)
class Rule:
    """Whatever the inner type refuses is refused with this one text, which schemas show too."""

    text: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "description": self.text}

    def _validate(self, value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValueError as error:
            raise PydanticCustomError("rule", self.text) from error


def _fits(text: str, least: int, most: int) -> bool:
    # Between most/4 and most characters only the encoding knows; a huge text is not encoded to be refused.
    return least <= len(text) <= most and len(text.encode("utf-8", "surrogatepass")) <= most


def _require(condition: Callable[[str], bool]) -> AfterValidator:
    def validate(value: str) -> str:
        if not condition(value):
            raise ValueError
        return value

    return AfterValidator(validate)


def _is_session_id(text: str) -> bool:
    # HTTP clients fold "." and ".." in a path, so such a session could never be asked for.
    return _SESSION_ID.fullmatch(text) is not None and text not in {".", ".."}


def _is_storable(value: Any) -> bool:
    """Whether a JSON value can be stored and sent on: no NUL, lone surrogate or infinity, not too deep."""
    level: list[Any] = [value]
    for _ in range(METADATA_MAX_LEVELS):
        if not all(map(_storable_alone, level)):
            return False
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _storable_alone(value: Any) -> bool:
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    return not isinstance(value, float) or isfinite(value)


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return chain(value.keys(), value.values())
        case list():
            return value
        case _:
            return ()


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    # The size first: walking through something huge takes long.
    if len(to_json(value)) > METADATA_MAX_BYTES or not _is_storable(value):
        raise ValueError
    return value


def _as_json_text(value: Any) -> Any:
    if isinstance(value, dict):
        return to_json(_check_metadata(value)).decode()
    return value


def _check_count(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) > AGENTS_MAX:
        raise PydanticCustomError("rule", f"must be an array of at most {AGENTS_MAX} agents")
    return value


Flag = Annotated[bool, Strict(), Rule("must be true or false")]

SessionId = Annotated[
    str,
    _require(_is_session_id),
    Rule("must be 1 to 128 characters of A-Z a-z 0-9 . _ : -, and neither . nor .."),
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9._:-]{1,128}$"}),
]

Name = Annotated[
    str,
    _require(lambda text: _fits(text, 1, NAME_MAX_BYTES) and not _CONTROL.search(text)),
    Rule(f"must be a string of 1 to {NAME_MAX_BYTES} bytes of UTF-8 without control characters"),
]
"""User ids, identities, room, guest and agent names."""

DisplayName = Annotated[
    str,
    _require(lambda text: _fits(text, 0, NAME_MAX_BYTES) and not _CONTROL.search(text)),
    Rule(f"must be a string of at most {NAME_MAX_BYTES} bytes of UTF-8 without control characters"),
]

Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_check_metadata),
    Rule("must be an object of at most 65,536 bytes as compact JSON, at most 128 levels deep, without NUL"),
]

AgentMetadata = Annotated[
    str,
    _require(lambda text: _fits(text, 0, METADATA_MAX_BYTES) and not _UNSTORABLE.search(text)),
    BeforeValidator(_as_json_text, json_schema_input_type=str | dict[str, Any]),
    Rule("must be a string or an object, of at most 65,536 bytes, without NUL characters"),
]
"""LiveKit hands an agent a string; an object becomes its compact JSON."""

TtlS = Annotated[
    int, Strict(), Field(ge=60, le=86_400), Rule("must be an integer from 60 to 86400 (seconds)")
]
TimeoutS = Annotated[
    int, Strict(), Field(ge=1, le=86_400), Rule("must be an integer from 1 to 86400 (seconds)")
]
MaxParticipants = Annotated[
    int,
    Strict(),
    Field(ge=1, le=INT32_MAX),
    Rule(f"must be an integer from 1 to {INT32_MAX}; leave it out for no limit"),
]
PageLimit = Annotated[int, Strict(), Field(ge=1, le=200), Rule("must be an integer from 1 to 200")]
Cursor = Annotated[
    str,
    _require(lambda text: _fits(text, 1, 512) and not _CONTROL.search(text)),
    Rule("must be the next_cursor of an earlier answer"),
]
Language = Annotated[
    str,
    _require(lambda text: len(text) <= 64 and _LANGUAGE.fullmatch(text) is not None),
    Rule("must be a language tag of 1 to 64 letters, digits and hyphens, such as en or de-CH"),
]
Reason = Annotated[
    str,
    _require(lambda text: _fits(text, 0, METADATA_MAX_BYTES) and not _UNSTORABLE.search(text)),
    Rule("must be a string of at most 65,536 bytes of UTF-8 without NUL characters"),
]
AtMostSomeAgents = BeforeValidator(_check_count)

Id = Annotated[str, _require(is_envelope_id), Rule(ENVELOPE_ID_RULE)]
"""A job, turn or utterance: opaque, and short enough to be an AMQP property."""

Text = Annotated[
    str,
    _require(lambda text: _fits(text, 0, TEXT_MAX_BYTES) and not _UNSTORABLE.search(text)),
    Rule("must be a string of at most 1,048,576 bytes of UTF-8 without NUL characters"),
]
Attempt = Annotated[int, Strict(), Field(ge=1, le=INT32_MAX), Rule("must be an integer from 1 on")]
Part = Annotated[int, Strict(), Field(ge=0, le=INT32_MAX), Rule("must be an integer from 0 on")]
OffsetMs = Annotated[
    int, Strict(), Field(ge=0, le=EXACT_INT_MAX), Rule("must be an integer from 0 on (milliseconds)")
]
Confidence = Annotated[float, Strict(), Field(allow_inf_nan=False), Rule("must be a finite number")]
