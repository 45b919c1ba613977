"""Answers: what a command came to, how it is remembered, and how the same command gets it again.

Promises: an answer is kept without tokens; whoever gets it again gets a fresh token that works, or none when the
session has ended or the identity was removed. The same key with another type or data is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.envelope import Envelope
from schemas.errors import FieldProblem
from schemas.replies import ErrorCode
from schemas.times import format_time
from worker.application.ports import Answer, Tokens, Transaction


class CommandRefused(Exception):
    """The command is answered with an error. Nothing was changed, unless the use case says otherwise.

    `session_id`: of the session that the command is about, if there is one. Not `kept`: the same command may be
    answered otherwise the next time; what is retryable is never kept.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        problems: Sequence[FieldProblem] = (),
        *,
        session_id: str | None = None,
        kept: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.problems = tuple(problems)
        self.session_id = session_id
        self.kept = kept and not code.retryable


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One command as it is being carried out."""

    command_id: str
    key: str
    digest: str
    type: str
    traceparent: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What an answer's token is for. Kept with the answer in place of the token."""

    identity: str
    name: str | None
    ttl_s: int
    expiry_field: str = "token_expires_at"
    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A command's answer before its token. `session_id` is the reply's subject."""

    session_id: str | None
    result: Mapping[str, Any]
    grant: Grant | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "result": dict(self.result),
            "grant": None if self.grant is None else asdict(self.grant),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A remembered error."""

    error: CommandRefused

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.error.code.value,
            "message": self.error.message,
            "problems": [[problem.field, problem.problem] for problem in self.error.problems],
            "session_id": self.error.session_id,
        }


def digest_of(envelope: Envelope) -> str:
    """Equal for equal type and data, whatever the order of keys."""
    text = json.dumps([envelope.type, envelope.data], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def recall(tx: Transaction, asked: Asked) -> Outcome | None:
    """What the same command was answered before, if it was. Raises `CommandRefused`: the remembered error, or
    `invalid_argument` when its key was used for another type or data."""
    known = tx.answer(asked.key)
    if known is None:
        return None
    if known.digest != asked.digest:
        raise key_used_otherwise()
    stored = known.outcome
    if "code" in stored:
        problems = [FieldProblem(field, problem) for field, problem in stored["problems"]]
        code, session_id = ErrorCode(stored["code"]), stored["session_id"]
        raise CommandRefused(code, stored["message"], problems, session_id=session_id)
    grant = None if stored["grant"] is None else Grant(**stored["grant"])
    return Outcome(session_id=stored["session_id"], result=stored["result"], grant=grant)


def key_used_otherwise() -> CommandRefused:
    """The key belongs to another command, and that one keeps its answer."""
    return CommandRefused(
        ErrorCode.INVALID_ARGUMENT,
        "this source and id were used before with another type or other data; give each command an id of its own",
        [FieldProblem("id", "was used before for another command")],
        kept=False,
    )


def remember(tx: Transaction, asked: Asked, answer: Outcome | Refusal, now: datetime) -> None:
    """Keep the answer, in the transaction that does what it says."""
    tx.remember(Answer(key=asked.key, digest=asked.digest, outcome=answer.as_json(), answered_at=now))


def with_token(
    outcome: Outcome, grant: Grant, *, room_name: str, tokens: Tokens, public_url: str, now: datetime
) -> dict[str, Any]:
    """The result as it is sent, with a token made now."""
    result = dict(outcome.result)
    ttl = timedelta(seconds=grant.ttl_s)
    result["access_token"] = tokens.person(
        room_name=room_name,
        identity=grant.identity,
        name=grant.name,
        now=now,
        ttl=ttl,
        can_publish=grant.can_publish,
        can_subscribe=grant.can_subscribe,
        can_publish_data=grant.can_publish_data,
    )
    result["identity"] = grant.identity
    result["livekit_url"] = public_url
    # A token counts whole seconds.
    result[grant.expiry_field] = format_time(now.replace(microsecond=0) + ttl)
    return result
