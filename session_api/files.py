"""The live page's files, as they lie in `session_api/page/`. Nothing outside of that folder is ever served.

They come with a policy that lets a page run its own scripts and no others, and talk to June and to LiveKit alone.
Without an `index.html` a line of text says that there is no page.
"""

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parent / "page"
_INDEX: Final = "index.html"
_SHOWN: Final = frozenset({".html", ".js", ".mjs", ".css", ".svg", ".png", ".ico", ".woff2", ".json", ".txt"})
POLICY: Final = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    # LiveKit is somewhere else: its address comes with a token, and is not known here.
    "connect-src 'self' ws: wss:",
    "media-src 'self' blob:",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
SAFE_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HEADERS: Final[Mapping[str, str]] = {
    **SAFE_HEADERS,
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    "Cache-Control": "no-cache",
}
_NO_PAGE: Final = "June's HTTP API is here: see /docs. The live page is not installed.\n"


def find_file(pieces: Sequence[str], folder: Path = FOLDER) -> Path | None:
    """The file that a path leads to; None when there is none. The path is decoded, and may be anything."""
    names = [_INDEX] if list(pieces) == [""] else list(pieces)
    if any(not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name for name in names):
        return None
    path = folder.joinpath(*names)
    if path.suffix not in _SHOWN or not path.is_file():
        return None
    return path if path.resolve().is_relative_to(folder.resolve()) else None


def file_response(path: Path) -> web.StreamResponse:
    """The file with its policy; browsers ask each time whether it changed."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return web.FileResponse(path, headers={**_HEADERS, "Content-Type": kind})


def no_page() -> web.StreamResponse:
    """In place of a page that is not installed."""
    return web.Response(text=_NO_PAGE, headers=_HEADERS)
