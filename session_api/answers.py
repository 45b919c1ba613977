"""Results of commands as answers of HTTP: which fields, which headers. Pure.

No answer may be kept by a cache: tokens are in some, and all of them are of this moment.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from pydantic_core import to_json

from schemas import commands
from session_api.models import TOKEN_FIELDS
from session_api.problems import CONTENT_TYPE, Problem
from session_api.routes import Route

_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_response(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """JSON, not to be kept."""
    return web.Response(
        body=to_json(value),
        status=status,
        content_type="application/json",
        headers={**_HEADERS, **(headers or {})},
    )


def problem_response(problem: Problem) -> web.Response:
    """A problem document."""
    response = web.Response(
        body=problem.body(),
        status=problem.status,
        content_type=CONTENT_TYPE,
        headers={**_HEADERS, **problem.headers},
    )
    if problem.close:
        response.force_close()
    return response


def command_response(
    route: Route, data: Mapping[str, Any], result: Mapping[str, Any], *, with_token: bool
) -> web.Response:
    """The answer to a request that was carried out. Without `with_token` the token fields are null."""
    if route.status == 204:
        return web.Response(status=204, headers=_HEADERS)
    return json_response(
        _shown(route, result, with_token=with_token),
        status=route.status,
        headers=_location(route, data, result),
    )


def _shown(route: Route, result: Mapping[str, Any], *, with_token: bool) -> Mapping[str, Any]:
    if route.work in {commands.SessionCreate, commands.SessionGet}:
        tokens = {name: result[name] if with_token else None for name in TOKEN_FIELDS}
        return {**result["session"], **tokens}
    if route.work is commands.SessionDelete:
        session: Mapping[str, Any] = result["session"]
        return session
    return result


def _location(route: Route, data: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, str]:
    if route.work is commands.SessionCreate:
        return {"Location": f"/api/sessions/{_piece(result['session']['session_id'])}"}
    if route.work is commands.GuestTokenCreate:
        session_id, identity = _piece(data["session_id"]), _piece(result["identity"])
        return {"Location": f"/api/sessions/{session_id}/participants/{identity}"}
    return {}


def _piece(text: str) -> str:
    return quote(text, safe="")
