"""The HTTP server under the answers: aiohttp's low-level one, since routing and middleware cost more than the work.

Promises: bodies arrive as sent (no decompression: the hash is over those bytes); requests that are no HTTP get 400
without an echo, and methods that nobody knows 405; a connection that says nothing is closed; a client that has sent
all and closes its side gets its answer; closing lets requests in progress finish.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import lru_cache
from typing import Final

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError
from aiohttp.web_protocol import RequestHandler

log = structlog.get_logger()

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_IDLE_S: Final = 75.0
_LINGER_S: Final = 5.0
_DRAIN_S: Final = 4.0
_MAX_HEADER_BYTES: Final = 8190


class _Ok(web.StreamResponse):
    """200 without a body, in one piece: nearly every answer is this one, and aiohttp's costs more than our own work.

    One object serves all requests. For HTTP/1.1 connections that stay open, alone.
    """

    @property
    def keep_alive(self) -> bool:
        """Always."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it. Raises ConnectionError when nobody is there any more."""
        await request.writer.write(_ok_bytes(int(time.time())))
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing follows."""


@lru_cache(maxsize=1)
def _ok_bytes(second: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: {formatdate(second, usegmt=True)}\r\n\r\n".encode()


_OK: Final = _Ok()


def ok(request: web.BaseRequest) -> web.StreamResponse:
    """The answer 200 without a body to this request."""
    return _OK if request.keep_alive and request.version == HttpVersion11 else web.Response()


class _Connection(RequestHandler):
    """A connection whose errors are answered without a word of what was sent."""

    __slots__ = ()

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp drops what its client has closed
        """Whether there is something to answer yet, though nothing more will come."""
        is_answering = bool(self._messages) or (self._waiter is None and self._request_count > 0)
        if not is_answering or self._parser is None:
            return False
        try:
            self._parser.feed_eof()
        except HttpProcessingError:
            return False  # half a body: nobody waits for an answer to that
        self.close()
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text quotes the sender, whose token may be in it
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        is_http = isinstance(exc, BadHttpMethod) and " HTTP/1." in exc.message
        response = (
            web.Response(status=405, headers={"Allow": "POST"}) if is_http else web.Response(status=status)
        )
        log.info("http.malformed", status=response.status, error=type(exc).__name__)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=self._loop,
            access_log=None,  # type: ignore[arg-type] # how aiohttp turns it off
            auto_decompress=False,
            keepalive_timeout=_IDLE_S,
            lingering_time=_LINGER_S,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )


@asynccontextmanager
async def serve(host: str, port: int, handler: Handler) -> AsyncIterator[int]:
    """Listen while the body runs; gives the port (that of the system's choice for 0). OSError when it is taken."""
    runner = web.ServerRunner(_Server(handler), shutdown_timeout=_DRAIN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        bound: int = runner.addresses[0][1]
        log.info("ingress.listening", host=host, port=bound)
        yield bound
    finally:
        await runner.cleanup()
