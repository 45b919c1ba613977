"""Answers each request: who asks, may they, is there room, then one command and its reply.

Promises: every answer that is no success is a problem document; one log line and one count for each request, without
bodies, keys or names of people; a fault of ours is 500, and logged whole. Refuses: what a key has no scope for; more
requests at once than are admitted, event streams counted apart from the others.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, assert_never

import structlog
from aiohttp import web
from pydantic import BaseModel

from messaging.failures import BrokerUnavailable
from runtime.api_keys import Scope
from schemas.commands import Command, SessionGet
from schemas.errors import FieldProblem, MessageInvalid
from schemas.model import read_data
from session_api import docs_page, files
from session_api.answers import command_response, json_response, problem_response
from session_api.auth import Caller, Gate, demand
from session_api.commander import Commander
from session_api.cors import Cors
from session_api.events.feed import Feed
from session_api.events.ids import next_of
from session_api.events.streaming import Filter, Streaming
from session_api.metrics import Metrics
from session_api.models import EventsQuery
from session_api.openapi import document
from session_api.problems import Code, Problem, invalid
from session_api.reading import (
    as_number,
    decoded,
    read_idempotency_key,
    read_object,
    read_query,
    split_target,
)
from session_api.routes import Endpoint, Route, routes_of
from session_api.system import System

log = structlog.get_logger(__name__)

_M = TypeVar("_M", bound=BaseModel)
_NOT_FOUND: Final = "there is nothing at this address; see /docs"
_CLIENT_GONE: Final = 499
"""For the log and the count alone: nobody is there to be answered."""


class Slots:
    """So many at once, and no queue: whoever finds none free is told to come again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises Problem (429)."""
        if self.taken >= self._limit:
            raise Problem(
                code=Code.RESOURCE_EXHAUSTED, detail=f"{self._limit} are admitted at once; try again"
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass(kw_only=True, slots=True)
class _Asked:
    """What is known of a request by now, for its log line."""

    begun: float
    route: str = "other"
    caller: str | None = None
    streams: bool = False


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the answers are made of."""

    gate: Gate
    commander: Commander
    feed: Feed
    streaming: Streaming
    system: System
    metrics: Metrics
    cors: Cors


class Api:
    """Answers requests. `max_requests` at once, and as many event streams; bodies of `max_bytes` at most."""

    def __init__(self, parts: Parts, *, max_requests: int, max_bytes: int) -> None:
        """Nothing is opened."""
        self._parts = parts
        self._max_bytes = max_bytes
        self._requests = Slots(max_requests)
        self._streams = Slots(max_requests)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises nothing but cancellation."""
        asked = _Asked(begun=time.perf_counter())
        try:
            response = await self._answered(request, asked)
        except asyncio.CancelledError:
            self._say(request, asked, 200 if asked.streams else _CLIENT_GONE)
            raise
        if not response.prepared:
            response.headers.update(self._parts.cors.headers(request))
        self._say(request, asked, response.status)
        return response

    def close(self) -> None:
        """End the event streams; requests in progress go on. Idempotent."""
        self._parts.streaming.close()

    async def _answered(self, request: web.BaseRequest, asked: _Asked) -> web.StreamResponse:
        try:
            return self._parts.cors.preflight(request) or await self._respond(request, asked)
        except Problem as problem:
            return problem_response(problem)
        except BrokerUnavailable as error:
            log.warning("http.broker_away", error=str(error))
            detail = "June's message broker cannot be reached; try again"
            return problem_response(Problem(code=Code.UNAVAILABLE, detail=detail))
        except Exception:
            log.exception("http.fault", route=asked.route)
            detail = "a fault of June's; its log says more"
            return problem_response(Problem(code=Code.INTERNAL, detail=detail))

    async def _respond(self, request: web.BaseRequest, asked: _Asked) -> web.StreamResponse:
        raw_pieces, raw_query = split_target(request.raw_path)
        pieces = [decoded(piece, "path") for piece in raw_pieces]
        found = routes_of(pieces)
        if not found:
            response = _file(request, pieces)
            asked.route = "page"
            return response
        route, parameters = _of_method(request.method, found)
        asked.route = route.name
        if route.scope is None:
            read_query(raw_query, known=route.query)
            return _open(route)
        caller = await self._parts.gate.admit(request)
        asked.caller = caller.name
        demand(caller, route.scope)
        query = read_query(raw_query, known=route.query, required=route.required, repeated=route.repeated)
        if route.work is Endpoint.EVENTS:
            asked.streams = True
            return await self._stream(request, query)
        with self._requests.one():
            if isinstance(route.work, Endpoint):
                return json_response(await self._look(route.work))
            return await self._command(request, route, route.work, caller, parameters, query)

    async def _command(
        self,
        request: web.BaseRequest,
        route: Route,
        command: type[Command],
        caller: Caller,
        parameters: Mapping[str, str],
        query: Mapping[str, Sequence[str]],
    ) -> web.StreamResponse:
        key = read_idempotency_key(request.headers.getall("Idempotency-Key", ())) if route.changes else None
        data: dict[str, Any] = await self._body(request, parameters) if route.body else {}
        data |= {
            name: as_number(values[0]) if name == "limit" else values[0] for name, values in query.items()
        }
        data |= parameters
        may_enter = Scope.SESSIONS_WRITE in caller.scopes
        if command is SessionGet and not may_enter:
            data = _looked_at(data)
        result = await self._parts.commander.ask(command, data, source=caller.source, command_id=key)
        return command_response(route, data, result, with_token=may_enter)

    async def _body(self, request: web.BaseRequest, parameters: Mapping[str, str]) -> dict[str, Any]:
        body = await read_object(request, max_bytes=self._max_bytes)
        problems = [FieldProblem(name, "is given by the path") for name in parameters if name in body]
        if problems:
            raise invalid("the body breaks its rules", *problems)
        return body

    async def _stream(
        self, request: web.BaseRequest, query: Mapping[str, Sequence[str]]
    ) -> web.StreamResponse:
        parts = self._parts
        wanted = _wanted(query)
        with self._streams.one():
            parts.metrics.streams(self._streams.taken)
            try:
                place = await self._place(request)
                return await parts.streaming.serve(request, wanted, place, parts.cors.headers(request))
            finally:
                parts.metrics.streams(self._streams.taken - 1)

    async def _place(self, request: web.BaseRequest) -> int:
        """Where to begin. Raises Problem, BrokerUnavailable."""
        given = [text for text in request.headers.getall("Last-Event-ID", ()) if text]
        after = next_of(given[0]) if len(given) == 1 else None
        if given and after is None:
            problem = FieldProblem("Last-Event-ID", "is not the id of an event of June's")
            raise invalid("the Last-Event-ID cannot be used", problem)
        now = await self._parts.feed.now()
        if after is None:
            return now
        # Beyond the end: the log was made anew since. The oldest that is kept is the one after it, then.
        return after if after <= now else 0

    async def _look(self, endpoint: Endpoint) -> object:
        match endpoint:
            case Endpoint.SYSTEM:
                return (await self._parts.system.overview(event_streams=self._streams.taken)).as_json()
            case Endpoint.PARTITIONS:
                return (await self._parts.system.partitions()).as_json()
            case Endpoint.DEAD_LETTERS:
                return (await self._parts.system.dead_letters()).as_json()
            case Endpoint.EVENTS | Endpoint.DOCUMENT | Endpoint.DOCS:
                raise AssertionError(f"{endpoint} is answered elsewhere")
            case _:
                assert_never(endpoint)

    def _say(self, request: web.BaseRequest, asked: _Asked, status: int) -> None:
        seconds = time.perf_counter() - asked.begun
        self._parts.metrics.answered(asked.route, status, None if asked.streams else seconds)
        level = log.error if status == 500 else log.info
        level(
            "http.handled",
            method=request.method,
            route=asked.route,
            status=status,
            caller=asked.caller,
            ms=round(seconds * 1000, 1),
        )


def _of_method(method: str, found: Sequence[tuple[Route, dict[str, str]]]) -> tuple[Route, dict[str, str]]:
    for route, parameters in found:
        if route.method == method or (method == "HEAD" and route.scope is None):
            return route, parameters
    methods = [route.method for route, _ in found]
    raise _not_allowed(*methods, *(["HEAD"] if found[0][0].scope is None else []))


def _not_allowed(*methods: str) -> Problem:
    allowed = ", ".join(sorted(set(methods)))
    detail = f"this address takes {allowed}"
    return Problem(code=Code.METHOD_NOT_ALLOWED, detail=detail, more_headers=[("Allow", allowed)])


def _open(route: Route) -> web.StreamResponse:
    """What needs no key."""
    if route.work is Endpoint.DOCS:
        return web.Response(body=docs_page.page().encode(), headers=docs_page.HEADERS)
    return json_response(document())


def _file(request: web.BaseRequest, pieces: Sequence[str]) -> web.StreamResponse:
    """A file of the live page. Raises Problem (404, 405)."""
    path = files.find_file(pieces)
    if path is None and list(pieces) != [""]:
        raise Problem(code=Code.NOT_FOUND, detail=_NOT_FOUND)
    if request.method not in {"GET", "HEAD"}:
        raise _not_allowed("GET", "HEAD")
    return files.no_page() if path is None else files.file_response(path)


def _checked(model: type[_M], name: str, data: Mapping[str, Any]) -> _M:
    """The data, when it keeps the rules. Raises Problem."""
    try:
        return read_data(model, name, data)
    except MessageInvalid as error:
        raise invalid(error.message, *error.problems) from error


def _wanted(query: Mapping[str, Sequence[str]]) -> Filter:
    """Which events the query asks for. Raises Problem."""
    given = {name: values if name == "type" else values[0] for name, values in query.items()}
    asked = _checked(EventsQuery, "this query", given)
    return Filter(session_id=asked.session_id, user_id=asked.user_id, types=frozenset(asked.type))


def _looked_at(data: dict[str, Any]) -> dict[str, Any]:
    """A session.get by who may only read: naming an identity would let it in again. Raises Problem."""
    _checked(SessionGet, SessionGet.TYPE, data)
    return {name: value for name, value in data.items() if name != "identity"}
