"""session.get, session.list and session.delete."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from datetime import UTC, datetime

from schemas.commands import SessionDelete, SessionGet, SessionList
from schemas.errors import FieldProblem
from schemas.replies import ErrorCode, SessionDeleted, SessionListResult, SessionResult
from worker.application.commands.answers import (
    Asked,
    CommandRefused,
    Grant,
    Outcome,
    recall,
    remember,
)
from worker.application.commands.context import Context, about, promise_token, settle, the_session
from worker.application.errands import Tried
from worker.application.failures import LiveKitUnavailable
from worker.application.loading import load_session
from worker.application.ports import ErrandKind, OutboxMessage, RoomErrand, Transaction
from worker.application.views import session_view
from worker.domain import sessions
from worker.domain.model import Session

_SESSION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOOK_AGAIN_S = 0.05


def session_outcome(session: Session, grant: Grant | None) -> Outcome:
    """The answer with a session and a token for `grant`; the token itself is made when it is sent."""
    result = SessionResult(
        session=session_view(session),
        access_token=None,
        identity=None,
        livekit_url=None,
        token_expires_at=None,
    )
    return Outcome(session_id=session.session_id, result=result.as_json(), grant=grant)


async def get(context: Context, asked: Asked, command: SessionGet) -> Outcome:
    """The session, with a token for the identity that is named, else for its user. Naming an identity that was
    removed lets it in again."""
    now = context.clock.now()

    def work(tx: Transaction) -> Outcome:
        if (known := recall(tx, asked)) is not None:
            return known
        session = the_session(tx, command.session_id)
        identity = command.identity or session.user_id
        grant = None
        if session.live and identity is not None:
            if command.identity is not None:
                tx.forget_removal(session.session_id, identity)
            grant = _grant(context, session, identity)
            session = promise_token(tx, session, grant.ttl_s, now)
        outcome = session_outcome(session, grant)
        remember(tx, asked, outcome, now)
        return outcome

    return await context.store.run(work)


def _grant(context: Context, session: Session, identity: str) -> Grant:
    name = session.display_name if identity == session.user_id else None
    ttl_s = session.token_ttl_s or context.config.default_token_ttl_s
    return Grant(identity=identity, name=name, ttl_s=ttl_s)


async def list_(context: Context, asked: Asked, command: SessionList) -> Outcome:
    """One page, newest first. The cursor names the last row of the page before: inserts do not disturb it."""
    after = None if command.cursor is None else _read_cursor(command.cursor)
    now = context.clock.now()

    def work(tx: Transaction) -> Outcome:
        if (known := recall(tx, asked)) is not None:
            return known
        page = tx.list_sessions(
            user_id=command.user_id,
            state=command.status,
            room_name=command.room_name,
            limit=command.limit,
            after=after,
        )
        result = SessionListResult(
            sessions=tuple(session_view(session) for session in page.sessions),
            next_cursor=None if page.after is None else _cursor(page.after),
        )
        outcome = Outcome(session_id=None, result=result.as_json())
        remember(tx, asked, outcome, now)
        return outcome

    return await context.store.run(work)


def _cursor(place: tuple[datetime, str]) -> str:
    text = json.dumps([round(place[0].timestamp() * 1000), place[1]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        moment_ms, session_id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        if type(moment_ms) is not int or not _SESSION_ID.fullmatch(session_id):
            raise ValueError
        return datetime.fromtimestamp(moment_ms / 1000, UTC), session_id
    except (ValueError, TypeError, binascii.Error, OverflowError, OSError, RecursionError) as error:
        problem = FieldProblem("cursor", "is not a cursor that June gave")
        raise CommandRefused(ErrorCode.INVALID_ARGUMENT, "the cursor cannot be read", [problem]) from error


async def delete(context: Context, asked: Asked, command: SessionDelete) -> Outcome:
    """End the session, then close its room. When LiveKit cannot be reached the session has ended all the same, the
    closing stays an errand, and the answer is `unavailable`."""
    now = context.clock.now()

    def end(tx: Transaction) -> tuple[Outcome | Session, list[OutboxMessage], list[RoomErrand]]:
        if (known := recall(tx, asked)) is not None:
            return known, [], []
        session = the_session(tx, command.session_id)
        before = load_session(tx, session)
        decision = sessions.delete(before, now, context.config.policy)
        rendered = settle(context, tx, before, decision, asked, now)
        waiting = tx.errands_of_room(session.room_name)
        closings = [errand for errand in waiting if errand.kind is ErrandKind.CLOSE_ROOM]
        return session, rendered.messages, closings

    found, messages, errands = await context.store.run(end)
    if isinstance(found, Outcome):
        return found
    await context.outbox.send(messages)
    with about(found):
        for errand in errands:
            await _closed(context, errand)
    return await context.store.run(lambda tx: _deleted(tx, asked, command, now))


async def _closed(context: Context, errand: RoomErrand) -> None:
    """Return when the room is. A session that is just being made of its name closes it first, and is waited for."""
    while True:
        match await context.errands.carry_out(errand):
            case Tried.DONE:
                return
            case Tried.LATER:
                said = "the session has ended; its room is closed as soon as LiveKit is back"
                raise LiveKitUnavailable(said)
            case Tried.SOON:
                await asyncio.sleep(_LOOK_AGAIN_S)


def _deleted(tx: Transaction, asked: Asked, command: SessionDelete, now: datetime) -> Outcome:
    if (known := recall(tx, asked)) is not None:
        return known
    session = the_session(tx, command.session_id)
    result = SessionDeleted(session=session_view(session))
    outcome = Outcome(session_id=session.session_id, result=result.as_json())
    remember(tx, asked, outcome, now)
    return outcome
