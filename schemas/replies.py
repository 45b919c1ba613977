"""The answer to a command: a result, or an error that says whether the same command again is right."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from schemas.envelope import SOURCE, Envelope
from schemas.errors import FieldProblem, TypeUnknown
from schemas.model import Message, Wire, read_data
from schemas.participants import ParticipantView
from schemas.sessions import SessionView
from schemas.times import WireTime


class ErrorCode(StrEnum):
    """Why a command was not carried out."""

    INVALID_ARGUMENT = "invalid_argument"
    UNIMPLEMENTED = "unimplemented"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    FAILED_PRECONDITION = "failed_precondition"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"

    @property
    def retryable(self) -> bool:
        """Whether the same command again is right. Such an error is not remembered."""
        return self is ErrorCode.UNAVAILABLE


class ErrorDetail(Wire):
    """One broken rule, by field."""

    field: str
    problem: str


class ReplyError(Wire):
    """What went wrong; `details` name the fields when the command itself is wrong."""

    code: ErrorCode
    message: str
    retryable: bool
    details: tuple[ErrorDetail, ...]

    @classmethod
    def of(cls, code: ErrorCode, message: str, problems: Sequence[FieldProblem] = ()) -> Self:
        """The error of this code, with what the code says about repeating it."""
        details = tuple(ErrorDetail(field=problem.field, problem=problem.problem) for problem in problems)
        return cls(code=code, message=message, retryable=code.retryable, details=details)


class Result(Wire):
    """What a command gives back."""


class SessionResult(Result):
    """A session and the way into its room. The four token fields are None together."""

    session: SessionView
    access_token: str | None = Field(repr=False)
    identity: str | None
    livekit_url: str | None
    token_expires_at: WireTime | None


class SessionListResult(Result):
    """One page, newest first; `next_cursor` is None on the last."""

    sessions: tuple[SessionView, ...]
    next_cursor: str | None


class SessionDeleted(Result):
    """The session, ended."""

    session: SessionView


class RoomView(Wire):
    """A room as LiveKit has it now: `metadata` is its raw string, `max_participants` 0 means no limit."""

    name: str
    sid: str
    num_participants: int
    created_at: WireTime
    empty_timeout_s: int
    departure_timeout_s: int
    max_participants: int
    metadata: str


class RoomResult(Result):
    """The room, or None when LiveKit has none."""

    room: RoomView | None


class ParticipantListResult(Result):
    """Who is in the room now."""

    participants: tuple[ParticipantView, ...]


class ParticipantRemoved(Result):
    """The participant is out."""

    removed: Literal[True] = True


class GuestTokenResult(Result):
    """The way in for one guest."""

    access_token: str = Field(repr=False)
    identity: str
    room_name: str
    livekit_url: str
    expires_at: WireTime


class ReplyOk(Message):
    """The command was carried out; `result` is the result model of its type, as JSON."""

    TYPE: ClassVar[str] = "june.reply.v1"

    ok: Literal[True] = True
    command_id: str | None
    result: dict[str, Any] = Field(repr=False)


class ReplyFailed(Message):
    """The command was not carried out. `command_id` is None when it could not be read."""

    TYPE: ClassVar[str] = ReplyOk.TYPE

    ok: Literal[False] = False
    command_id: str | None
    error: ReplyError


Reply = ReplyOk | ReplyFailed


def reply_envelope(
    *,
    id: str,  # noqa: A002 # the envelope's own word
    time: datetime,
    command_id: str | None,
    subject: str | None,
    outcome: Result | ReplyError,
    traceparent: str | None = None,
) -> Envelope:
    """The envelope of a reply; `subject` is the session's id if there is a session."""
    reply: Reply
    if isinstance(outcome, ReplyError):
        reply = ReplyFailed(command_id=command_id, error=outcome)
    else:
        reply = ReplyOk(command_id=command_id, result=outcome.as_json())
    return Envelope(
        id=id,
        source=SOURCE,
        type=ReplyOk.TYPE,
        subject=subject,
        time=time,
        traceparent=traceparent,
        data=reply.as_json(),
    )


def parse_reply(envelope: Envelope) -> Reply:
    """The reply in an envelope. Raises TypeUnknown or MessageInvalid."""
    if envelope.type != ReplyOk.TYPE:
        raise TypeUnknown(envelope.type)
    model: type[Reply] = ReplyOk if envelope.data.get("ok") is True else ReplyFailed
    return read_data(model, envelope.type, envelope.data)
