"""Strict JSON objects out of bytes that anybody may have written. No I/O.

Promises: never raises. Refuses what is not UTF-8, not JSON by the letter (NaN, Infinity, a byte order mark), nested
beyond Python's limit, or not an object.
"""

from json import JSONDecoder
from typing import Any


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_decoder = JSONDecoder(parse_constant=_refuse)


def json_object(text: bytes) -> dict[str, Any] | None:
    """The object, or None where there is none."""
    try:
        value = _decoder.decode(text.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
