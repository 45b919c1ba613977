"""The routes as data: what the application serves and what the document tells are this one table.

A path is matched piece by piece, after it was split at `/` and each piece was percent-decoded once, so that any
identity works in it. A piece that is empty matches no parameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeAlias

from pydantic import BaseModel

from runtime.api_keys import Scope
from schemas import commands
from schemas.replies import GuestTokenResult, ParticipantListResult, RoomResult, SessionListResult
from schemas.sessions import SessionView
from session_api.models import DeadLettersView, PartitionsView, SessionAnswer, SystemView


class Endpoint(StrEnum):
    """What is no command."""

    EVENTS = "events"
    SYSTEM = "system"
    PARTITIONS = "partitions"
    DEAD_LETTERS = "dead_letters"
    DOCUMENT = "document"
    DOCS = "docs"


Work: TypeAlias = type[commands.Command] | Endpoint


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method on one path. Names in braces, and those of the query, are fields of the command.

    `scope` None: needs no key. `answer` None: an answer without a body, or one that is no JSON.
    """

    method: str
    path: str
    summary: str
    work: Work
    scope: Scope | None
    status: int = 200
    answer: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    body: bool = False

    @property
    def name(self) -> str:
        """For logs and metrics: few values, whatever is asked for."""
        return f"{self.method} {self.path}"

    @property
    def changes(self) -> bool:
        """Whether it makes or ends something, so that an `Idempotency-Key` counts."""
        return self.method != "GET"

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The path without its first slash, split."""
        return tuple(self.path.removeprefix("/").split("/"))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(piece[1:-1] for piece in self.pieces if piece.startswith("{"))

    def match(self, pieces: Sequence[str]) -> dict[str, str] | None:
        """The parameters, when this is the path of the route."""
        if len(pieces) != len(self.pieces):
            return None
        found: dict[str, str] = {}
        for wanted, piece in zip(self.pieces, pieces, strict=True):
            if wanted.startswith("{"):
                if not piece:
                    return None
                found[wanted[1:-1]] = piece
            elif wanted != piece:
                return None
        return found


_SESSION = "/api/sessions/{session_id}"
_PEOPLE = f"{_SESSION}/participants"
READ, WRITE = Scope.SESSIONS_READ, Scope.SESSIONS_WRITE

ROUTES: Final = (
    Route(
        method="POST",
        path="/api/sessions",
        summary="Make a session, its room, and a token for its user",
        work=commands.SessionCreate,
        scope=WRITE,
        status=201,
        answer=SessionAnswer,
        body=True,
    ),
    Route(
        method="GET",
        path="/api/sessions",
        summary="Sessions that match all that is given, newest first",
        work=commands.SessionList,
        scope=READ,
        answer=SessionListResult,
        query=("user_id", "status", "room_name", "limit", "cursor"),
    ),
    Route(
        method="GET",
        path=_SESSION,
        summary="A session, and a new token for its user, or for the identity that is named",
        work=commands.SessionGet,
        scope=READ,
        answer=SessionAnswer,
        query=("identity",),
    ),
    Route(
        method="DELETE",
        path=_SESSION,
        summary="End a session and close its room; twice is as good as once",
        work=commands.SessionDelete,
        scope=WRITE,
        answer=SessionView,
        query=("reason",),
    ),
    Route(
        method="GET",
        path=f"{_SESSION}/room",
        summary="The session's room, as LiveKit has it now",
        work=commands.RoomGet,
        scope=READ,
        answer=RoomResult,
    ),
    Route(
        method="GET",
        path=_PEOPLE,
        summary="Who is in the session's room now",
        work=commands.ParticipantList,
        scope=READ,
        answer=ParticipantListResult,
    ),
    Route(
        method="DELETE",
        path=f"{_PEOPLE}/{{identity}}",
        summary="Put a participant out, and keep it out until a new token is made for it",
        work=commands.ParticipantRemove,
        scope=WRITE,
        status=204,
    ),
    Route(
        method="DELETE",
        path=_PEOPLE,
        summary="The same, for an identity that cannot be a piece of a path, such as `..`",
        work=commands.ParticipantRemove,
        scope=WRITE,
        status=204,
        query=("identity",),
        required=("identity",),
    ),
    Route(
        method="POST",
        path=f"{_SESSION}/guest-token",
        summary="A token for a guest, with an identity of its own",
        work=commands.GuestTokenCreate,
        scope=WRITE,
        status=201,
        answer=GuestTokenResult,
        body=True,
    ),
    Route(
        method="GET",
        path="/api/events",
        summary="What happens, as server-sent events",
        work=Endpoint.EVENTS,
        scope=Scope.EVENTS_READ,
        query=("session_id", "user_id", "type"),
        repeated=("type",),
    ),
    Route(
        method="GET",
        path="/api/system",
        summary="June at a glance: versions, queues and who consumes them",
        work=Endpoint.SYSTEM,
        scope=Scope.SYSTEM_READ,
        answer=SystemView,
    ),
    Route(
        method="GET",
        path="/api/system/partitions",
        summary="The queues that rooms are spread over",
        work=Endpoint.PARTITIONS,
        scope=Scope.SYSTEM_READ,
        answer=PartitionsView,
    ),
    Route(
        method="GET",
        path="/api/system/dead-letters",
        summary="Messages that were set aside, and why: the oldest 50, without their bodies",
        work=Endpoint.DEAD_LETTERS,
        scope=Scope.SYSTEM_READ,
        answer=DeadLettersView,
    ),
    Route(
        method="GET",
        path="/api/openapi.json",
        summary="This document",
        work=Endpoint.DOCUMENT,
        scope=None,
    ),
    Route(method="GET", path="/docs", summary="This document as a page", work=Endpoint.DOCS, scope=None),
)


def routes_of(pieces: Sequence[str]) -> list[tuple[Route, dict[str, str]]]:
    """Every route on this path, whatever its method, with its parameters."""
    return [(route, found) for route in ROUTES if (found := route.match(pieces)) is not None]
