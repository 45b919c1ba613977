"""What went wrong, as HTTP tells it: RFC 9457 problem documents that carry the command's code and details.

Every answer that is no success is one of these. `retryable` means that the same request again, with the same
`Idempotency-Key`, is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json

from schemas.errors import FieldProblem

CONTENT_TYPE: Final = "application/problem+json"


class Code(StrEnum):
    """The codes of commands, and those that HTTP adds."""

    INVALID_ARGUMENT = "invalid_argument"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ALREADY_EXISTS = "already_exists"
    FAILED_PRECONDITION = "failed_precondition"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    INTERNAL = "internal"
    UNIMPLEMENTED = "unimplemented"
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"


STATUS: Final[Mapping[Code, HTTPStatus]] = {
    Code.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    Code.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Code.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    Code.PAYLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Code.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Code.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
# A deadline that passed is one of this request: the next one has its own.
RETRYABLE: Final = frozenset({Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})
_HEADERS: Final[Mapping[Code, Mapping[str, str]]] = {
    Code.UNAUTHENTICATED: {"WWW-Authenticate": 'Bearer realm="june"'},
    Code.RESOURCE_EXHAUSTED: {"Retry-After": "1"},
    Code.UNAVAILABLE: {"Retry-After": "2"},
}


class ProblemDetail(BaseModel):
    """One broken rule, by field."""

    field: str
    problem: str


class ProblemDocument(BaseModel):
    """Why a request was not carried out (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: Code
    retryable: bool
    details: tuple[ProblemDetail, ...]


@dataclass(kw_only=True, eq=False)  # not frozen: Python writes tracebacks into exceptions
class Problem(Exception):
    """Raised wherever a request turns out to be wrong, or cannot be carried out."""

    code: Code
    detail: str
    details: Sequence[FieldProblem] = ()
    more_headers: Sequence[tuple[str, str]] = ()
    close: bool = False
    """The rest of the request will not be read: the connection is of no more use."""

    @property
    def status(self) -> int:
        """The status of the answer."""
        return STATUS[self.code].value

    @property
    def headers(self) -> dict[str, str]:
        """Those that belong to the code, and those of this problem."""
        return {**_HEADERS.get(self.code, {}), **dict(self.more_headers)}

    def document(self) -> dict[str, Any]:
        """The problem document."""
        return ProblemDocument(
            title=STATUS[self.code].phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            retryable=self.code in RETRYABLE,
            details=tuple(ProblemDetail(field=one.field, problem=one.problem) for one in self.details),
        ).model_dump(mode="json")

    def body(self) -> bytes:
        """The problem document as bytes."""
        return to_json(self.document())


def invalid(detail: str, *details: FieldProblem) -> Problem:
    """A request that breaks the rules."""
    return Problem(code=Code.INVALID_ARGUMENT, detail=detail, details=details)
