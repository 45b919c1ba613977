"""Reads a request: its path and query, its body, its headers. What it cannot read is a Problem that says why.

Percent-encoding is undone once, never twice, and only after the path was split; in a query `+` is a space, as forms
and every client's library have it. Text that is not UTF-8 is refused.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from aiohttp import web
from pydantic_core import from_json

from schemas.errors import FieldProblem, printable
from session_api.problems import Code, Problem, invalid

BODY_WITHIN: Final = timedelta(seconds=10)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_UTF_8 = frozenset({"utf-8", "utf8"})


def split_target(target: str) -> tuple[list[str], str]:
    """A request's target as pieces of its path, still encoded, and its query. Proxies may send whole URLs."""
    if not target.startswith("/"):
        parts = urlsplit(target)
        target = f"{parts.path or '/'}?{parts.query}"
    path, _, query = target.partition("?")
    return path.removeprefix("/").split("/"), query


def decoded(text: str, what: str) -> str:
    """Percent-decoded, once. Raises Problem."""
    try:
        if _BAD_ESCAPE.search(text):
            raise ValueError
        return unquote_to_bytes(text.encode()).decode()
    except ValueError as error:
        problem = FieldProblem(what, "is not percent-encoded UTF-8")
        raise invalid("the address of the request cannot be read", problem) from error


def read_query(
    query: str, *, known: Sequence[str], required: Sequence[str] = (), repeated: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The values by name, each at least one. Raises Problem for a name that is not known, or one given twice."""
    values: dict[str, list[str]] = {}
    for pair in filter(None, query.split("&")):
        raw_name, _, raw_value = pair.partition("=")
        name = decoded(raw_name.replace("+", " "), "query")
        values.setdefault(name, []).append(decoded(raw_value.replace("+", " "), printable(name)))
    problems = [
        FieldProblem(printable(name), f"is not known here; known are: {', '.join(known) or 'none'}")
        for name in values
        if name not in known
    ]
    problems += [
        FieldProblem(name, "is given twice")
        for name, given in values.items()
        if name in known and len(given) > 1 and name not in repeated
    ]
    problems += [FieldProblem(name, "is required") for name in required if name not in values]
    if problems:
        raise invalid("the query of the request breaks its rules", *problems)
    return values


def as_number(text: str) -> int | str:
    """The integer that a text is, or the text, which the command's own rules then refuse."""
    return int(text) if _INTEGER.fullmatch(text) else text


def read_idempotency_key(headers: Sequence[str]) -> str | None:
    """The key, None when there is none. Raises Problem."""
    if not headers:
        return None
    if len(headers) > 1 or not _IDEMPOTENCY_KEY.fullmatch(headers[0]):
        problem = FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters, once")
        raise invalid("the Idempotency-Key cannot be used", problem)
    return headers[0]


async def read_object(
    request: web.BaseRequest, *, max_bytes: int, within: timedelta = BODY_WITHIN
) -> dict[str, Any]:
    """The JSON object in the body. Raises Problem."""
    _check_media_type(request)
    body = await _read_body(request, max_bytes=max_bytes, within=within)
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise invalid(f"the body is not JSON in UTF-8: {error}") from error
    if not isinstance(value, dict):
        raise invalid("the body is not a JSON object")
    if not _can_be_sent_on(value):
        raise invalid("a number in the body is too large")
    return value


def _can_be_sent_on(value: object) -> bool:
    """Whether it is JSON still when it is written again: 1e400 is read as infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _check_media_type(request: web.BaseRequest) -> None:
    charset = (request.charset or "utf-8").lower()
    given = "Content-Type" in request.headers and request.content_type == "application/json"
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if not given or charset not in _UTF_8 or encoding != "identity":
        raise Problem(
            code=Code.UNSUPPORTED_MEDIA_TYPE,
            detail="the body must be JSON in UTF-8, not compressed, with `Content-Type: application/json`",
        )


async def _read_body(request: web.BaseRequest, *, max_bytes: int, within: timedelta) -> bytes:
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    await _invite(request)
    body = bytearray()
    try:
        async with asyncio.timeout(within.total_seconds()):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError as error:
        text = f"the body did not arrive within {within.total_seconds():g} s"
        raise Problem(code=Code.INVALID_ARGUMENT, detail=text, close=True) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Problem(code=Code.INVALID_ARGUMENT, detail="the body cannot be read", close=True) from error
    return bytes(body)


def _too_large(max_bytes: int) -> Problem:
    text = f"the body has more than {max_bytes:,} bytes"
    return Problem(code=Code.PAYLOAD_TOO_LARGE, detail=text, close=True)


async def _invite(request: web.BaseRequest) -> None:
    """Tell a sender that asks first to go on."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It is no part of the answer, which has not begun.
        request.writer.output_size = 0
