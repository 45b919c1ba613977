"""Strict JSON objects out of bytes that anybody may have written. No I/O.

Promises: never raises. Refuses what is not UTF-8, not JSON by the letter (NaN, Infinity, a byte order mark, half a
surrogate pair), nested deeper than any event is, or not an object.
"""

from typing import Any

from pydantic_core import from_json


def json_object(text: bytes) -> dict[str, Any] | None:
    """The object, or None where there is none."""
    try:
        # Keys come again and again, values do not.
        value = from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
