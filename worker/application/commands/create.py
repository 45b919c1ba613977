"""session.create: reserve the names, make the room, then say that it is there.

Promises: safe to repeat at any point of failure; the same command finishes the same session. Until its room is made a
session is seen by nobody, and a command that failed leaves nothing that stops another one. Two creates for one name
are one after the other: the second is `already_exists`. Agents are dispatched once, however many copies run at once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from schemas.commands import AgentWish, SessionCreate
from schemas.errors import FieldProblem
from schemas.replies import ErrorCode
from schemas.sessions import SessionOrigin
from worker.application.commands.answers import (
    Asked,
    CommandRefused,
    Grant,
    Outcome,
    key_used_otherwise,
    recall,
    remember,
)
from worker.application.commands.context import Context, promise_token, settle
from worker.application.commands.sessions import session_outcome
from worker.application.failures import LiveKitRefused, LiveKitUnavailable
from worker.application.loading import load_session
from worker.application.ports import ErrandKind, LiveRoom, OutboxMessage, RoomErrand, Transaction
from worker.domain import sessions
from worker.domain.lifecycle import is_abandoned
from worker.domain.model import Agent, RoomSid, Session, SessionId, SessionState, State

log = structlog.get_logger(__name__)

_JUST_PUT = timedelta(seconds=1)
_LOOK_AGAIN_S = 0.02
_LOOKS = 50
_ROOM_WITHIN = timedelta(seconds=4)
"""For all that LiveKit is asked: what is left of a command's time is for giving the names back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reserved:
    session: Session
    closings: list[RoomErrand]


async def create(context: Context, asked: Asked, command: SessionCreate) -> Outcome:
    """Carry it out, or go on where an earlier copy of it stopped."""
    reserved = await context.store.run(lambda tx: _reserve(context, tx, asked, command))
    if isinstance(reserved, Outcome):
        return reserved
    session_id = reserved.session.session_id
    try:
        room = await _room_in_time(context, reserved)
        outcome, messages = await context.store.run(
            lambda tx: _made(context, tx, asked, command, session_id, room)
        )
    except (LiveKitUnavailable, LiveKitRefused, CommandRefused):
        await context.store.run(lambda tx: _release(tx, session_id, asked))
        raise
    await context.outbox.send(messages)
    return outcome


def _reserve(context: Context, tx: Transaction, asked: Asked, command: SessionCreate) -> _Reserved | Outcome:
    if (known := recall(tx, asked)) is not None:
        return known
    now = context.clock.now()
    wanted = _session(context, asked, command, now)
    known_session = tx.session(wanted.session_id)
    if known_session is not None and not _is_ours(known_session, asked):
        _refuse_second_use(known_session, asked, now)
        _take_over(tx, known_session, now, field="session_id")
        known_session = None
    holder = tx.live_session(wanted.room_name)
    if holder is not None and holder.session_id != wanted.session_id:
        _take_over(tx, holder, now, field="room_name")
    if known_session is None:
        session = wanted
        tx.save(State(), State(session=session))
    else:
        session = dataclasses.replace(known_session, reserved_at=now)
        tx.save(State(session=known_session), State(session=session))
    waiting = tx.errands_of_room(session.room_name)
    closings = [errand for errand in waiting if errand.kind is ErrandKind.CLOSE_ROOM]
    return _Reserved(session=session, closings=closings)


def _mark(asked: Asked) -> str:
    """Whose reservation it is: the same key with other data is another command."""
    return f"{asked.digest} {asked.key}"


def _is_ours(session: Session, asked: Asked) -> bool:
    return session.reserved_by == _mark(asked) and session.live


def _refuse_second_use(session: Session, asked: Asked, now: datetime) -> None:
    """Raises when the key is just being used for another create: that one will have the answer."""
    _, _, key = (session.reserved_by or "").partition(" ")
    if key == asked.key and session.live and not is_abandoned(session, now):
        raise key_used_otherwise()


def _take_over(tx: Transaction, session: Session, now: datetime, *, field: str) -> None:
    """Drop a reservation that nobody works on. Raises `already_exists` for anything else."""
    if not is_abandoned(session, now):
        what = "was used before" if field == "session_id" else "belongs to a live session"
        raise CommandRefused(ErrorCode.ALREADY_EXISTS, f"this {field} {what}", [FieldProblem(field, what)])
    tx.drop_reservation(session)


def _session(context: Context, asked: Asked, command: SessionCreate, now: datetime) -> Session:
    """The session as asked for. An id that June chooses comes from the command's key: its copies choose it too."""
    chosen = "ses_" + hashlib.sha256(asked.key.encode()).hexdigest()[:24]
    session_id = command.session_id or chosen
    policy = context.config.policy
    return Session(
        session_id=SessionId(session_id),
        user_id=command.user_id,
        display_name=command.display_name,
        room_name=command.room_name or session_id,
        state=SessionState.RESERVED,
        origin=SessionOrigin.JUNE,
        created_at=now,
        metadata=_compact(command.metadata),
        stt_enabled=policy.stt_enabled if command.stt.enabled is None else command.stt.enabled,
        stt_language=command.stt.language or policy.stt_language,
        ai_enabled=policy.ai_enabled if command.ai.enabled is None else command.ai.enabled,
        ai_speak=True if command.ai.speak is None else command.ai.speak,
        empty_timeout_s=command.room_empty_timeout_s,
        departure_timeout_s=command.departure_timeout_s,
        max_participants=command.max_participants,
        token_ttl_s=command.token_ttl_s,
        agents=tuple(_agent(agent) for agent in command.agents),
        reserved_by=_mark(asked),
        reserved_at=now,
    )


def _compact(metadata: dict[str, Any] | None) -> str | None:
    if metadata is None:
        return None
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))


def _agent(wish: AgentWish) -> Agent:
    return Agent(agent_name=wish.agent_name, metadata=wish.metadata or "")


async def _room_in_time(context: Context, reserved: _Reserved) -> LiveRoom:
    try:
        async with asyncio.timeout(_ROOM_WITHIN.total_seconds()):
            return await _make_room(context, reserved)
    except TimeoutError as error:
        raise LiveKitUnavailable("LiveKit did not answer in time") from error


async def _make_room(context: Context, reserved: _Reserved) -> LiveRoom:
    session = reserved.session
    for errand in reserved.closings:
        # A room of a deleted session of this name may still be there: its people must not be in the new one.
        await _close_before(context, errand)
    room = await context.livekit.create_room(
        name=session.room_name,
        empty_timeout_s=session.empty_timeout_s or 0,
        departure_timeout_s=session.departure_timeout_s or 0,
        max_participants=session.max_participants,
        agents=session.agents,
    )
    _say_differences(session, room)
    if session.agents:
        # A room that was there already did not get them.
        await context.livekit.dispatch_agents(session.room_name, session.agents)
    return room


async def _close_before(context: Context, errand: RoomErrand) -> None:
    """Close the room of an earlier session. Whoever put the errand may be just about it, and would close the new room
    with a request that is on its way: one that was not tried yet is left to them for a moment."""
    room_name, errand_id = errand.room_name, errand.errand_id
    for _ in range(_LOOKS):
        if errand.attempts or context.clock.now() - errand.due_at > _JUST_PUT:
            break
        await asyncio.sleep(_LOOK_AGAIN_S)
        waiting = await context.store.run(lambda tx: tx.errands_of_room(room_name))
        found = next((each for each in waiting if each.errand_id == errand_id), None)
        if found is None:
            return
        errand = found
    await context.livekit.delete_room(room_name)
    await context.store.done_errand(errand_id)


def _say_differences(session: Session, room: LiveRoom) -> None:
    """LiveKit returns a room that was there already as it is: what was asked for did not take effect."""
    asked = {
        "empty_timeout_s": session.empty_timeout_s,
        "departure_timeout_s": session.departure_timeout_s,
        "max_participants": session.max_participants or 0,
    }
    there = {name: getattr(room, name) for name in asked}
    if asked != there:
        log.warning(
            "session.room_differs", session=session.session_id, room_sid=room.sid, asked=asked, there=there
        )


def _made(
    context: Context,
    tx: Transaction,
    asked: Asked,
    command: SessionCreate,
    session_id: SessionId,
    room: LiveRoom,
) -> tuple[Outcome, list[OutboxMessage]]:
    if (known := recall(tx, asked)) is not None:
        return known, []
    now = context.clock.now()
    session = tx.session(session_id)
    if session is None or session.reserved_by != _mark(asked):
        problem = FieldProblem("session_id", "was taken by another command meanwhile")
        raise CommandRefused(ErrorCode.ALREADY_EXISTS, "another command was quicker", [problem])
    before = load_session(tx, session)
    if (there := tx.room(RoomSid(room.sid))) is not None:
        before = dataclasses.replace(before, rooms={**before.rooms, there.room_sid: there})
    made = sessions.made(before, RoomSid(room.sid), room.created_at, now, context.config.policy)
    rendered = settle(context, tx, before, made, asked, now)
    session = tx.session(session_id) or session
    grant = Grant(identity=command.user_id, name=command.display_name, ttl_s=command.token_ttl_s)
    if session.live:
        session = promise_token(tx, session, grant.ttl_s, now)
    outcome = session_outcome(session, grant)
    remember(tx, asked, outcome, now)
    return outcome, rendered.messages


def _release(tx: Transaction, session_id: SessionId, asked: Asked) -> None:
    """Leave the reservation to whoever wants it next; the room may exist, so that it is not simply forgotten."""
    session = tx.session(session_id)
    if session is not None and session.reserved_by == _mark(asked) and session.state is SessionState.RESERVED:
        tx.save(State(session=session), State(session=dataclasses.replace(session, reserved_at=None)))
