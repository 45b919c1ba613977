"""A session's own states: reserved → created → active → ended, each entered once and told once.

Promises: going where the session already is, or back, changes and tells nothing.
Refuses: what is in the room (`endings` closes it before the session ends).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

from schemas.sessions import EndReason, SessionOrigin
from worker.domain.changes import the_session, with_room, with_session
from worker.domain.copies import replace
from worker.domain.effects import AnnounceSession
from worker.domain.jobs import Decision
from worker.domain.model import Room, RoomSid, Session, SessionId, SessionState, State
from worker.domain.policy import Policy

_ODD = re.compile(r"[^A-Za-z0-9._:-]")
_LONGEST_ID = 128
_MAKING = timedelta(seconds=10)
"""For how long a room that is being made is left to the command that makes it."""


def is_abandoned(session: Session, now: datetime) -> bool:
    """A reservation that nobody works on: its command failed or died. Its names are free, its room is nobody's."""
    since = session.reserved_at
    return session.state is SessionState.RESERVED and (since is None or now - since >= _MAKING)


def adopted(
    room_sid: RoomSid, room_name: str, now: datetime, policy: Policy, *, again: datetime | None = None
) -> Session:
    """The session of a room that June did not create; `again`: when its usual id is taken, most often since the room
    came back whose session is over."""
    return Session(
        session_id=adopted_id(room_sid if again is None else RoomSid(f"{room_sid}-{_ms(again)}")),
        user_id=None,
        room_name=room_name,
        state=SessionState.CREATED,
        origin=SessionOrigin.LIVEKIT,
        created_at=now,
        stt_enabled=policy.stt_enabled,
        stt_language=policy.stt_language,
        ai_enabled=policy.ai_enabled,
        ai_speak=policy.ai_speak,
    )


def adopted_id(room_sid: RoomSid) -> SessionId:
    """The same id for whoever adopts the room; sids that make no id are hashed, so that they stay apart."""
    plain = f"lk_{room_sid}"
    if len(plain) <= _LONGEST_ID and not _ODD.search(plain):
        return SessionId(plain)
    return SessionId("lk_" + hashlib.sha256(room_sid.encode("utf-8", "surrogatepass")).hexdigest())


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def bind(state: State, room_sid: RoomSid, created_at: datetime | None) -> State:
    """The session lives in this room, which LiveKit made then, from now on."""
    session = replace(the_session(state), room_sid=room_sid, missing_since=None)
    room = Room(
        room_sid=room_sid,
        room_name=session.room_name,
        session_id=session.session_id,
        created_at=created_at,
    )
    return with_room(with_session(state, session), room)


def promote(state: State) -> Decision:
    """A reserved session's room is made."""
    session = the_session(state)
    if session.state is not SessionState.RESERVED:
        return state, ()
    created = replace(session, state=SessionState.CREATED)
    return with_session(state, created), (AnnounceSession(what="created", session=created),)


def begin(state: State, now: datetime) -> Decision:
    """Somebody is there."""
    state, effects = promote(state)
    session = the_session(state)
    if session.state is not SessionState.CREATED:
        return state, effects
    active = replace(session, state=SessionState.ACTIVE, started_at=now)
    return with_session(state, active), (*effects, AnnounceSession(what="started", session=active))


def finish(state: State, reason: EndReason, now: datetime) -> Decision:
    """It is over. One that was still reserved is told to be created first: nothing ends that never was."""
    state, effects = promote(state)
    session = the_session(state)
    if not session.live:
        return state, effects
    ended = replace(session, state=SessionState.ENDED, ended_at=now, end_reason=reason, missing_since=None)
    return with_session(state, ended), (*effects, AnnounceSession(what="ended", session=ended))
