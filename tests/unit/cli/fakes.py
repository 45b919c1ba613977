"""A June that answers as a test says, and a command line that is run to its end."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cli.world import Requests
from messaging.message import Incoming, Outgoing
from schemas.envelope import Envelope, decode, encode
from schemas.replies import ErrorCode, ReplyError, ReplyFailed, ReplyOk
from tests.support.command_line import Ran, ran
from tests.support.deliveries import incoming
from tests.support.samples import session_json

SESSION: dict[str, Any] = session_json(
    "s-1",
    room_name="june-s-1",
    livekit_room_sid="RM_1",
    status="active",
    started_at="2026-11-22T19:00:01.000Z",
    metadata={"plan": "gold"},
    ai={"enabled": True, "speak": False},
)
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


def june(
    *arguments: str,
    june: FakeJune | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    requests: Callable[..., Any] | None = None,
) -> Ran:
    """Run `june` with its output in a pipe."""
    at = requests or (june or FakeJune([])).at
    return ran(arguments, env=env or {}, stdin=io.StringIO(stdin), requests=at)


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
    return incoming(encode(Envelope(id="r", source="june", type=ReplyOk.TYPE, data=data)), type=ReplyOk.TYPE)


def letter(body: bytes, *, type_: str | None = None, id_: str = "m-1", **headers: Any) -> Incoming:
    """A dead letter as it comes from its queue."""
    return incoming(body, type=type_, message_id=id_, headers=headers)
