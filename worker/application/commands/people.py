"""room.get, participant.list, participant.remove and guest_token.create."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from schemas.commands import GuestTokenCreate, ParticipantList, ParticipantRemove, RoomGet
from schemas.participants import (
    ParticipantKind,
    ParticipantState,
    ParticipantView,
    TrackSource,
    TrackType,
    TrackView,
)
from schemas.replies import (
    ErrorCode,
    ParticipantListResult,
    ParticipantRemoved,
    Result,
    RoomResult,
    RoomView,
)
from worker.application.commands.answers import (
    Asked,
    CommandRefused,
    Grant,
    Outcome,
    recall,
    remember,
)
from worker.application.commands.context import (
    Context,
    about,
    promise_token,
    the_live_session,
    the_session,
)
from worker.application.ports import LiveParticipant, LiveRoom, Transaction
from worker.domain.model import Removal, Session, State
from worker.domain.voices import is_own_bot

_LONGEST_TOKEN = timedelta(seconds=86_400)
_MOMENT = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """Whom a command wants out: is it barred already, and does June know it to be there?"""

    session: Session
    barred: bool
    known: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bar:
    removal: Removal
    is_new: bool


async def room_get(context: Context, asked: Asked, command: RoomGet) -> Outcome:
    """The room as LiveKit has it; `None` when it has none, and after the session's end."""
    found = await context.store.run(lambda tx: recall(tx, asked) or the_session(tx, command.session_id))
    if isinstance(found, Outcome):
        return found
    with about(found):
        room = await context.livekit.room(found.room_name) if found.live else None
    shown = None if room is None else _room_view(room)

    def result(tx: Transaction) -> Result:
        # A room that is there after the session's end is another one's.
        return RoomResult(room=shown if the_session(tx, command.session_id).live else None)

    return await _answer(context, asked, found, result)


async def participant_list(context: Context, asked: Asked, command: ParticipantList) -> Outcome:
    """Who is in the room now, as LiveKit has it."""
    found = await context.store.run(lambda tx: recall(tx, asked) or the_live_session(tx, command.session_id))
    if isinstance(found, Outcome):
        return found
    with about(found):
        people = await _people(context, found)
    shown = tuple(_participant_view(one, found) for one in people)

    def result(tx: Transaction) -> Result:
        # Who is in a room of this name after the session's end is in another one's.
        the_live_session(tx, command.session_id)
        return ParticipantListResult(participants=shown)

    return await _answer(context, asked, found, result)


async def participant_remove(context: Context, asked: Asked, command: ParticipantRemove) -> Outcome:
    """Take the identity out, and keep it out: the wish is stored before LiveKit is told, since the token goes on
    working. It is not stored before LiveKit has said who is there: one that is away leaves nothing half done."""
    found = await context.store.run(lambda tx: _ask_for(context, tx, asked, command))
    if isinstance(found, Outcome):
        return found
    session = found.session
    with about(session):
        if not found.barred:
            there = {one.identity for one in await _people(context, session)}
            if not found.known and command.identity not in there:
                raise _nobody(session)
        bar = await context.store.run(lambda tx: _bar(context, tx, asked, command))
        if isinstance(bar, Outcome):
            return bar
        was_there = await context.livekit.remove_participant(session.room_name, command.identity)
    if not was_there and bar.is_new:
        await context.store.run(lambda tx: _unbar(tx, session, bar.removal))
    return await _answer(context, asked, session, lambda _tx: ParticipantRemoved())


def _ask_for(
    context: Context, tx: Transaction, asked: Asked, command: ParticipantRemove
) -> Outcome | _Wanted:
    if (known := recall(tx, asked)) is not None:
        return known
    session = the_live_session(tx, command.session_id)
    barred = tx.removal(session.session_id, command.identity)
    people = () if session.room_sid is None else tx.live_participants(session.room_sid)
    return _Wanted(
        session=session,
        barred=barred is not None and barred.until > context.clock.now(),
        known=any(one.identity == command.identity and not one.bot for one in people),
    )


def _bar(context: Context, tx: Transaction, asked: Asked, command: ParticipantRemove) -> Outcome | _Bar:
    """Any token that June gave out before now has run out by the end of it. No two bars of one identity are equal."""
    if (known := recall(tx, asked)) is not None:
        return known
    session = the_live_session(tx, command.session_id)
    now = context.clock.now()
    barred = tx.removal(session.session_id, command.identity)
    until = now + _LONGEST_TOKEN
    if barred is not None:
        until = max(until, barred.until + _MOMENT)
    removal = Removal(session_id=session.session_id, identity=command.identity, until=until)
    before = State(session=session, removals={} if barred is None else {barred.identity: barred})
    tx.save(before, dataclasses.replace(before, removals={removal.identity: removal}))
    return _Bar(removal=removal, is_new=barred is None or barred.until <= now)


def _unbar(tx: Transaction, session: Session, removal: Removal) -> None:
    """Raises `not_found`, unless another command bars the identity as well."""
    if tx.removal(session.session_id, removal.identity) == removal:
        tx.forget_removal(session.session_id, removal.identity)
        raise _nobody(session)


def _nobody(session: Session) -> CommandRefused:
    message = "there is no participant with this identity in the room"
    return CommandRefused(ErrorCode.NOT_FOUND, message, session_id=session.session_id)


async def guest_token(context: Context, asked: Asked, command: GuestTokenCreate) -> Outcome:
    """A way in for one guest, under an identity of its own, with exactly the grants asked for."""
    now = context.clock.now()

    def work(tx: Transaction) -> Outcome:
        if (known := recall(tx, asked)) is not None:
            return known
        session = the_live_session(tx, command.session_id)
        grant = Grant(
            identity=f"guest_{uuid.uuid4().hex}",
            name=command.guest_name,
            ttl_s=command.ttl_s,
            expiry_field="expires_at",
            can_publish=command.can_publish,
            can_subscribe=command.can_subscribe,
            can_publish_data=command.can_publish_data,
        )
        promise_token(tx, session, grant.ttl_s, now)
        result = {
            "access_token": None,
            "identity": grant.identity,
            "room_name": session.room_name,
            "livekit_url": context.config.public_url,
            "expires_at": None,
        }
        outcome = Outcome(session_id=session.session_id, result=result, grant=grant)
        remember(tx, asked, outcome, now)
        return outcome

    return await context.store.run(work)


async def _people(context: Context, session: Session) -> Sequence[LiveParticipant]:
    """Who is in the room now, without June's bots."""
    people = await context.livekit.participants(session.room_name)
    return [one for one in people if not is_own_bot(ParticipantKind(one.kind), one.identity)]


async def _answer(
    context: Context, asked: Asked, session: Session, result: Callable[[Transaction], Result]
) -> Outcome:
    """Remember what came out; `result` sees the session as it is by now."""
    now = context.clock.now()

    def work(tx: Transaction) -> Outcome:
        if (known := recall(tx, asked)) is not None:
            return known
        outcome = Outcome(session_id=session.session_id, result=result(tx).as_json())
        remember(tx, asked, outcome, now)
        return outcome

    return await context.store.run(work)


def _room_view(room: LiveRoom) -> RoomView:
    return RoomView(
        name=room.name,
        sid=room.sid,
        num_participants=room.num_participants,
        created_at=room.created_at,
        empty_timeout_s=room.empty_timeout_s,
        departure_timeout_s=room.departure_timeout_s,
        max_participants=room.max_participants,
        metadata=room.metadata,
    )


def _participant_view(one: LiveParticipant, session: Session) -> ParticipantView:
    return ParticipantView(
        sid=one.sid,
        identity=one.identity,
        name=one.name,
        kind=ParticipantKind(one.kind),
        state=ParticipantState(one.state),
        joined_at=one.joined_at or session.created_at,
        metadata=one.metadata,
        tracks=tuple(
            TrackView(
                sid=track.sid,
                type=TrackType(track.type),
                source=TrackSource(track.source),
                name=track.name,
                muted=track.muted,
                mime_type=track.mime_type,
            )
            for track in one.tracks
        ),
    )
