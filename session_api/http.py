"""The HTTP server under the API: aiohttp's low-level one, since paths are split before they are decoded.

Promises: a request that is no HTTP gets a problem document without an echo of what was sent; a handler whose client has
gone is cancelled; closing lets requests in progress finish.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from session_api.problems import CONTENT_TYPE, invalid

log = structlog.get_logger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_IDLE_S: Final = 75.0
_LINGER_S: Final = 5.0
_DRAIN_S: Final = 4.0
_MAX_LINE_BYTES: Final = 16 * 1024
"""Tokens of an OIDC issuer may be long."""


class _Connection(RequestHandler):
    """A connection whose errors are answered without a word of what was sent."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text quotes the sender, whose key may be in it
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        log.info("http.malformed", status=status, error=type(exc).__name__)
        body = invalid("this is no HTTP request").body()
        response = web.Response(status=400, body=body, content_type=CONTENT_TYPE)
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
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
        )


@asynccontextmanager
async def serve(host: str, port: int, handler: Handler) -> AsyncIterator[int]:
    """Listen while the body runs; gives the port (that of the system's choice for 0). OSError when it is taken."""
    runner = web.ServerRunner(_Server(handler, handler_cancellation=True), shutdown_timeout=_DRAIN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        bound: int = runner.addresses[0][1]
        log.info("api.listening", host=host, port=bound)
        yield bound
    finally:
        await runner.cleanup()
