"""Rooms of one name that come, go, come back and are told of in any order: what is said of each session stays right.

Sids repeat over rooms, tracks move from one participant to another, rooms are made by clocks that go back, commands
come in between. LiveKit does most of this never; whoever posts webhooks may do all of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events
from schemas.participants import ParticipantKind, TrackSource, TrackType
from schemas.pipeline import SttStop
from schemas.sessions import EndReason
from tests.support.memory_domain import MemoryDomain
from tests.support.samples import START
from tests.support.servers import examples
from tests.unit.worker.domain.facts import (
    ROOM,
    TICK,
    joined,
    left,
    published,
    reservation,
    room_finished,
    room_started,
    unpublished,
)
from worker.domain import sessions
from worker.domain.effects import Announce, AnnounceSession, Broadcast, Effect, OfferJob
from worker.domain.facts import RoomFact, RoomMissing, RoomRevived
from worker.domain.model import RoomSid, SessionId, SessionState
from worker.domain.policy import Policy

ROOMS = ("RM_1", "RM_2", "RM_3")
_ROOMS, _PEOPLE = st.sampled_from(ROOMS), st.sampled_from(["PA_1", "PA_2", "PA_3"])
_TRACKS, _WHO = st.sampled_from(["TR_1", "TR_2"]), st.sampled_from(["ann", "ben", "june-stt-1"])
_MADE = st.none() | st.integers(-3, 3).map(lambda s: START + timedelta(seconds=s))


def _observed(kind: type[RoomMissing | RoomRevived], room: str) -> RoomFact:
    return kind(room_sid=RoomSid(room), room_name=ROOM, at=START)


_NEWS: st.SearchStrategy[RoomFact] = st.one_of(
    st.builds(lambda room, made: room_started(room, made_at=made), _ROOMS, _MADE),
    st.builds(
        lambda sid, room, who, kind: joined(sid, room=room, identity=who, kind=kind),
        _PEOPLE, _ROOMS, _WHO, st.sampled_from(ParticipantKind),
    ),
    st.builds(lambda sid, room: joined(sid, room=room), _PEOPLE, _ROOMS),
    st.builds(
        lambda sid, by, room, kind, source: published(sid, by=by, room=room, kind=kind, source=source),
        _TRACKS, _PEOPLE, _ROOMS, st.sampled_from(TrackType), st.sampled_from(TrackSource),
    ),
    st.builds(lambda sid, by, room: published(sid, by=by, room=room), _TRACKS, _PEOPLE, _ROOMS),
    st.builds(lambda sid, room: left(sid, room=room), _PEOPLE, _ROOMS),
    st.builds(lambda sid, by, room: unpublished(sid, by=by, room=room), _TRACKS, _PEOPLE, _ROOMS),
    st.builds(room_finished, _ROOMS),
    st.builds(partial(_observed, RoomMissing), _ROOMS),
    st.builds(partial(_observed, RoomRevived), _ROOMS),
)  # fmt: skip
_DATED = st.builds(lambda fact, made: replace(fact, room_created_at=made), _NEWS, _MADE)
_ORDERS = st.sampled_from(["reserve", "make", "delete", "wait", "wait long"])
_STEPS = st.lists(st.one_of(_NEWS, _NEWS, _DATED, _DATED, _ORDERS), min_size=5, max_size=50)


@pytest.mark.parametrize("adopt_rooms", [True, False])
@given(steps=_STEPS, room=_ROOMS)
@settings(max_examples=examples(300), deadline=None)
def test_whatever_is_told_of_rooms(adopt_rooms: bool, steps: list[RoomFact | str], room: str) -> None:
    """Of each session: created, started and ended once, sids come and go once and in order, nothing outlives its end;
    one session lives at a time, in one room, and nothing lives elsewhere."""
    domain = MemoryDomain(Policy(adopt_rooms=adopt_rooms))
    for step in steps:
        domain.wait(TICK)
        _do(domain, step, room)
        _one_lives(domain)
    for said in _by_session(domain.log).values():
        _is_one_story(said)


def _do(domain: MemoryDomain, step: RoomFact | str, room: str) -> None:
    live = domain.tables.live_session(ROOM)
    match step:
        case "reserve" if live is None:
            name = SessionId(f"s-{len(domain.tables.sessions)}")
            domain.put(replace(reservation(), session_id=name))
        case "make" if live is not None and live.state is SessionState.RESERVED:
            made_in = live.room_sid or RoomSid(room)
            domain.order(
                live.session_id,
                lambda state: sessions.made(state, made_in, None, domain.now, domain.policy),
            )
        case "delete" if live is not None:
            domain.order(live.session_id, lambda state: sessions.delete(state, domain.now, domain.policy))
        case "wait":
            domain.wait(timedelta(seconds=7))
        case "wait long":
            domain.wait(timedelta(seconds=61))
        case str():
            pass
        case fact:
            domain.give(fact)


def _one_lives(domain: MemoryDomain) -> None:
    """What is live is in the live session's room, and a job is about a live track of somebody who is there."""
    tables = domain.tables
    session = tables.live_session(ROOM)
    here = session.room_sid if session is not None and session.missing_since is None else None
    for room in map(RoomSid, ROOMS):
        people = {each.sid for each in tables.live_participants(room)}
        tracks = {each.sid: each for each in tables.live_tracks(room)}
        jobs = tables.live_jobs(room)
        if room != here:
            assert not people
            assert not jobs
            assert not [each for each in tracks.values() if each.announced]
        for job in jobs:
            assert job.participant_sid in people
            assert tracks[job.track_sid].announced
            assert tracks[job.track_sid].participant_sid == job.participant_sid


def _by_session(log: list[Effect]) -> dict[str, list[Effect]]:
    said: dict[str, list[Effect]] = defaultdict(list)
    for effect in log:
        match effect:
            case AnnounceSession():
                said[effect.session.session_id].append(effect)
            case OfferJob():
                said[effect.job.session_id].append(effect)
            case Announce(event=event) | Broadcast(message=event):
                said[event.session_id].append(effect)  # type: ignore[attr-defined]
    return said


def _is_one_story(said: list[Effect]) -> None:
    steps = [effect.what for effect in said if isinstance(effect, AnnounceSession)]
    assert steps in (
        ["created"],
        ["created", "started"],
        ["created", "ended"],
        ["created", "started", "ended"],
    )
    assert isinstance(said[0], AnnounceSession)
    here: set[tuple[str, str]] = set()
    seen: set[tuple[str, str]] = set()
    offered: set[str] = set()
    started = ended = False
    for effect in said:
        match effect:
            case AnnounceSession(what="started"):
                assert effect.session.state is SessionState.ACTIVE
                started = True
            case AnnounceSession(what="ended", session=session):
                assert not here
                assert session.end_reason in set(EndReason)
                ended = True
            case Announce(event=events.ParticipantJoined() as event):
                assert started
                assert not ended
                assert (event.room_sid, event.participant.sid) not in seen
                assert not event.participant.identity.startswith("june-") or event.participant.kind != "agent"
                seen.add((event.room_sid, event.participant.sid))
                here.add((event.room_sid, event.participant.sid))
            case Announce(event=events.TrackPublished() as event):
                assert (event.room_sid, event.participant.sid) in here
                assert (event.room_sid, event.track.sid) not in seen
                seen.add((event.room_sid, event.track.sid))
                here.add((event.room_sid, event.track.sid))
            case Announce(event=events.TrackUnpublished() as event):
                here.remove((event.room_sid, event.track.sid))
            case Announce(event=events.ParticipantLeft() as event):
                here.remove((event.room_sid, event.participant.sid))
            case OfferJob(job=job):
                assert {(job.room_sid, job.participant_sid), (job.room_sid, job.track_sid)} <= here
                offered.add(job.job_id)
            case Broadcast(message=SttStop() as stop):
                assert stop.job_id in offered
