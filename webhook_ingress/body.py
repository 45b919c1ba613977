"""Reads a request's body within bounds of size and time.

Promises: never holds more than the limit and one chunk; a declared length over the limit is refused before a byte of
it is read; a sender that is slower than the deadline is given up.
"""

import asyncio
from datetime import timedelta
from enum import Enum

from aiohttp import HttpVersion11, StreamReader, web


class NoBody(Enum):
    """Why there is no body to look at."""

    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    BROKEN = "broken"


async def read_body(request: web.BaseRequest, max_bytes: int, deadline: timedelta) -> bytes | NoBody:
    """The body, as the bytes that were sent."""
    if (request.content_length or 0) > max_bytes:
        return NoBody.TOO_LARGE
    content = request.content
    try:
        if content.is_eof():
            # All of it is here already, as with nearly every webhook: no deadline to arm.
            body = content.read_nowait()
            return body if len(body) <= max_bytes else NoBody.TOO_LARGE
        await _invite(request)
        async with asyncio.timeout(deadline.total_seconds()):
            return await _collect(content, max_bytes)
    except TimeoutError:
        return NoBody.TOO_SLOW
    except (web.RequestPayloadError, ConnectionError):
        return NoBody.BROKEN


async def _collect(content: StreamReader, max_bytes: int) -> bytes | NoBody:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > max_bytes:
            return NoBody.TOO_LARGE
    return bytes(body)


async def _invite(request: web.BaseRequest) -> None:
    """Tell a sender that asks first to go on; HTTP/1.0 has no such answer."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It is no part of the answer, which has not begun.
        request.writer.output_size = 0
