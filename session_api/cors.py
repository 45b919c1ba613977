"""Which pages of other origins may use the API: those of the allow-list, and none by default.

Nobody is let in by this: a page needs a key like everybody. Cookies play no part.
"""

from collections.abc import Collection
from typing import Final

from aiohttp import web

_REQUEST_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_RESPONSE_HEADERS: Final = "Location, Retry-After, WWW-Authenticate"
_METHODS: Final = "GET, POST, DELETE"
_REMEMBERED_S: Final = "600"


class Cors:
    """`origins` as browsers write them: `https://app.example.org`."""

    def __init__(self, origins: Collection[str]) -> None:
        """Empty: nothing is said to browsers at all."""
        self._origins = frozenset(origins)

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """For every answer, problems included."""
        if not self._origins:
            return {}
        origin = request.headers.get("Origin")
        if origin not in self._origins:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
        }

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a browser that asks first; None when it is no such question, or not one of ours."""
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or request.headers.get("Origin") not in self._origins:
            return None
        headers = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": _REMEMBERED_S,
        }
        return web.Response(status=204, headers=headers)
