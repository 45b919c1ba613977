"""Times on the wire: RFC 3339, UTC, milliseconds, `Z`. Inside, an aware datetime in UTC.

Reading accepts what RFC 3339 allows (any offset, up to 12 decimals) but leap seconds. No offset: refused.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

TIME_RULE = "must be an RFC 3339 time with an offset, such as 2026-11-22T19:00:00.000Z"

# datetime.fromisoformat takes more than RFC 3339 (week dates, no offset), so the shape is checked first.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,12})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


@lru_cache(maxsize=256)  # one moment is in all that a batch of messages says
def format_time(value: datetime) -> str:
    """An aware time as `2026-11-22T19:00:00.000Z`; what is finer than a millisecond is cut off.

    Raises ValueError for a naive one: its moment is not known.
    """
    if value.tzinfo is None:
        raise ValueError("a time without a zone names no moment")
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """The moment, in UTC, to the microsecond. Raises ValueError, with the rule, for anything else."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(TIME_RULE)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(TIME_RULE) from error


def _read(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    try:
        return parse_time(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("rule", TIME_RULE) from error


WireTime = Annotated[
    datetime,
    BeforeValidator(_read),
    PlainSerializer(format_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A datetime that reads and writes itself as the wire wants it (`model_dump(mode="json")`)."""
