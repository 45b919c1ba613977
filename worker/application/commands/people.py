"""room.get, participant.list, participant.remove and guest_token.create."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import datetime, timedelta

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
from worker.application.commands.context import Context, promise_token, the_live_session, the_session
from worker.application.ports import LiveParticipant, LiveRoom, Transaction
from worker.domain.model import Removal, Session, State
from worker.domain.voices import is_own_bot

_LONGEST_TOKEN = timedelta(seconds=86_400)


async def room_get(context: Context, asked: Asked, command: RoomGet) -> Outcome:
    """The room as LiveKit has it; `None` when it has none, and after the session's end."""
    found = await context.store.run(lambda tx: recall(tx, asked) or the_session(tx, command.session_id))
    if isinstance(found, Outcome):
        return found
    room = await context.livekit.room(found.room_name) if found.live else None
    return await _answer(context, asked, found, RoomResult(room=None if room is None else _room_view(room)))


async def participant_list(context: Context, asked: Asked, command: ParticipantList) -> Outcome:
    """Who is in the room now, as LiveKit has it."""
    found = await context.store.run(lambda tx: recall(tx, asked) or the_live_session(tx, command.session_id))
    if isinstance(found, Outcome):
        return found
    people = await context.livekit.participants(found.room_name)
    shown = tuple(
        _participant_view(one, found)
        for one in people
        if not is_own_bot(ParticipantKind(one.kind), one.identity)
    )
    return await _answer(context, asked, found, ParticipantListResult(participants=shown))


async def participant_remove(context: Context, asked: Asked, command: ParticipantRemove) -> Outcome:
    """Take the identity out, and keep it out: the wish is stored first, since its token goes on working."""
    now = context.clock.now()
    found = await context.store.run(lambda tx: _bar(tx, asked, command, now))
    if isinstance(found, Outcome):
        return found
    session, barred_before = found
    was_there = await context.livekit.remove_participant(session.room_name, command.identity)
    if not was_there and not barred_before:
        await context.store.run(lambda tx: tx.forget_removal(session.session_id, command.identity))
        raise CommandRefused(ErrorCode.NOT_FOUND, "there is no participant with this identity in the room")
    return await _answer(context, asked, session, ParticipantRemoved())


def _bar(
    tx: Transaction, asked: Asked, command: ParticipantRemove, now: datetime
) -> Outcome | tuple[Session, bool]:
    if (known := recall(tx, asked)) is not None:
        return known
    session = the_live_session(tx, command.session_id)
    barred = tx.removal(session.session_id, command.identity)
    # Any token that June gave out before now has run out by then.
    removal = Removal(session_id=session.session_id, identity=command.identity, until=now + _LONGEST_TOKEN)
    before = State(session=session, removals={} if barred is None else {barred.identity: barred})
    tx.save(before, dataclasses.replace(before, removals={removal.identity: removal}))
    return session, barred is not None and barred.until > now


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


async def _answer(context: Context, asked: Asked, session: Session, result: Result) -> Outcome:
    outcome = Outcome(session_id=session.session_id, result=result.as_json())
    now = context.clock.now()

    def work(tx: Transaction) -> Outcome:
        if (known := recall(tx, asked)) is not None:
            return known
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
