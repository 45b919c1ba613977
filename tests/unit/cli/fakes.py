"""A June that answers as a test says, and a command line that is run to its end."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.main import run
from cli.world import Requests, World
from messaging.message import Incoming, Outgoing
from schemas.envelope import Envelope, decode, encode
from schemas.replies import ErrorCode, ReplyError, ReplyFailed, ReplyOk

SESSION: dict[str, Any] = {
    "session_id": "s-1",
    "user_id": "ann",
    "room_name": "june-s-1",
    "livekit_room_sid": "RM_1",
    "status": "active",
    "origin": "june",
    "created_at": "2026-11-22T19:00:00.000Z",
    "started_at": "2026-11-22T19:00:01.000Z",
    "ended_at": None,
    "end_reason": None,
    "metadata": {"plan": "gold"},
    "stt": {"enabled": True, "language": "en"},
    "ai": {"enabled": True, "speak": False},
}
SESSION_RESULT = {
    "session": SESSION,
    "access_token": "a.b.c",
    "identity": "ann",
    "livekit_url": "ws://livekit",
    "token_expires_at": "2026-11-22T19:15:00.000Z",
}

Answer = Mapping[str, Any] | ReplyError | Exception | bytes


@dataclass
class FakeJune:
    """Gives its answers one after the other, and keeps what it was asked."""

    answers: list[Answer]
    asked: list[Outgoing] = field(default_factory=list)
    timeouts: list[timedelta] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def at(self, url: str) -> AsyncIterator[Requests]:
        """Wherever it is looked for."""
        self.urls.append(url)
        yield self

    async def request(self, command: Outgoing, *, timeout: timedelta) -> Incoming:
        """As `messaging.request_reply.Requester`."""
        self.asked.append(command)
        self.timeouts.append(timeout)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return _reply(answer)

    @property
    def envelopes(self) -> list[Envelope]:
        """What it was asked."""
        return [decode(command.body) for command in self.asked]

    @property
    def data(self) -> Mapping[str, Any]:
        """Of the one command that came."""
        (envelope,) = self.envelopes
        return envelope.data


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command line ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """Its lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def fields(self) -> dict[str, str]:
        """Of one thing in plain text."""
        return dict(line.split("\t", 1) for line in self.out.splitlines())


def june(
    *arguments: str,
    june: FakeJune | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    requests: Callable[..., Any] | None = None,
) -> Ran:
    """Run `june` with its output in a pipe."""
    out, err = io.StringIO(), io.StringIO()
    at = requests or (june or FakeJune([])).at
    world = World(env=env or {}, out=out, err=err, stdin=io.StringIO(stdin), requests=at)
    code = run(list(arguments), world)
    return Ran(code=int(code), out=out.getvalue(), err=err.getvalue())


def refusal(code: ErrorCode, message: str = "no") -> ReplyError:
    """An error as June sends it."""
    return ReplyError.of(code, message)


def _reply(answer: Mapping[str, Any] | ReplyError | bytes) -> Incoming:
    if isinstance(answer, bytes):
        return incoming(answer)
    if isinstance(answer, ReplyError):
        data = ReplyFailed(command_id="c", error=answer).as_json()
    else:
        data = ReplyOk(command_id="c", result=dict(answer)).as_json()
    now = datetime.now(UTC)
    body = encode(Envelope(id="r", source="june", type=ReplyOk.TYPE, time=now, data=data))
    return incoming(body, type_=ReplyOk.TYPE)


def incoming(body: bytes, *, type_: str | None = None, id_: str | None = "m-1", **headers: Any) -> Incoming:
    """A message as it comes from a queue."""
    return Incoming(
        queue="q",
        body=body,
        message_id=id_,
        type=type_,
        content_type=None,
        correlation_id=None,
        reply_to=None,
        headers=headers,
        exchange="",
        routing_key="",
        redelivered=False,
        delivery_count=0,
        timestamp=None,
    )
