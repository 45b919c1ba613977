"""The domain over tables in memory: facts in, effects out, and time that passes when a test says so.

Promises: slices are those that the worker loads (its own loader reads the tables), so that a decision that needs more
than it is given fails here, too. Timers come when they are due, in order. Refuses: sequence numbers, tokens and bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar, cast

from schemas.events import (
    JobChanged,
    ParticipantJoined,
    ParticipantLeft,
    TrackPublished,
    TrackUnpublished,
)
from schemas.model import Message
from schemas.pipeline import SttStop
from tests.support.samples import START
from worker.application.loading import load, load_session
from worker.application.ports import Transaction
from worker.domain.conversation import Conversation
from worker.domain.decide import decide
from worker.domain.effects import Announce, AnnounceSession, Broadcast, Count, Effect, OfferJob, Wake
from worker.domain.facts import Fact, TimeCame
from worker.domain.jobs import Decision
from worker.domain.model import (
    Job,
    JobId,
    Participant,
    ParticipantSid,
    Removal,
    Room,
    RoomSid,
    Session,
    SessionId,
    State,
    Track,
    TrackSid,
    TurnId,
    TurnRef,
)
from worker.domain.policy import Policy

_E = TypeVar("_E")


class Tables:
    """What a `Transaction` reads, by its names."""

    def __init__(self) -> None:
        self.sessions: dict[SessionId, Session] = {}
        self.rooms: dict[RoomSid, Room] = {}
        self.participants: dict[tuple[RoomSid, ParticipantSid], Participant] = {}
        self.tracks: dict[tuple[RoomSid, TrackSid], Track] = {}
        self.jobs: dict[JobId, Job] = {}
        self.turns: dict[TurnId, TurnRef] = {}
        self.utterances: set[tuple[JobId, str]] = set()
        self.conversations: dict[SessionId, Conversation] = {}
        self.removals: dict[tuple[SessionId, str], Removal] = {}
        self.shut: dict[str, datetime] = {}

    def session(self, session_id: SessionId) -> Session | None:
        return self.sessions.get(session_id)

    def live_session(self, room_name: str) -> Session | None:
        live = [each for each in self.sessions.values() if each.live and each.room_name == room_name]
        assert len(live) <= 1, "a room name belongs to one live session"
        return live[0] if live else None

    def room(self, room_sid: RoomSid) -> Room | None:
        return self.rooms.get(room_sid)

    def room_and_session(self, room_sid: RoomSid) -> tuple[Room | None, Session | None]:
        room = self.rooms.get(room_sid)
        return room, None if room is None or room.session_id is None else self.sessions.get(room.session_id)

    def participant(self, room_sid: RoomSid, sid: ParticipantSid) -> Participant | None:
        return self.participants.get((room_sid, sid))

    def live_participants(self, room_sid: RoomSid) -> list[Participant]:
        return [each for each in self.participants.values() if each.room_sid == room_sid and not each.gone]

    def track(self, room_sid: RoomSid, sid: TrackSid) -> Track | None:
        return self.tracks.get((room_sid, sid))

    def live_tracks(self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None) -> list[Track]:
        tracks = [each for each in self.tracks.values() if each.room_sid == room_sid and not each.gone]
        return [each for each in tracks if participant_sid in {None, each.participant_sid}]

    def job(self, job_id: JobId, _room_sid: RoomSid | None = None) -> Job | None:
        return self.jobs.get(job_id)

    def live_jobs(self, room_sid: RoomSid, participant_sid: ParticipantSid | None = None) -> list[Job]:
        jobs = [each for each in self.jobs.values() if each.room_sid == room_sid and each.live]
        return [each for each in jobs if participant_sid in {None, each.participant_sid}]

    def conversation(self, session_id: SessionId) -> Conversation | None:
        return self.conversations.get(session_id)

    def turn(self, turn_id: TurnId) -> TurnRef | None:
        return self.turns.get(turn_id)

    def utterance_taken(self, job_id: JobId, utterance_id: str) -> bool:
        return (job_id, utterance_id) in self.utterances

    def removal(self, session_id: SessionId, identity: str) -> Removal | None:
        return self.removals.get((session_id, identity))

    def shut_until(self, room_name: str, now: datetime) -> datetime | None:
        until = self.shut.get(room_name)
        return until if until is not None and until > now else None

    def save(self, after: State) -> None:
        if after.session is not None:
            self.sessions[after.session.session_id] = after.session
        self.rooms.update(after.rooms)
        self.participants.update(after.participants)
        self.tracks.update(after.tracks)
        self.jobs.update(after.jobs)
        self.turns.update(after.turns)
        self.utterances.update(after.utterances)
        for removal in after.removals.values():
            self.removals[removal.session_id, removal.identity] = removal
        if after.conversation is not None:
            self.conversations[after.conversation.session_id] = after.conversation


class MemoryDomain:
    """Takes facts one after the other, and remembers all effects in `log`."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.now = START
        self.tables = Tables()
        self.log: list[Effect] = []
        self._timers: dict[tuple[SessionId, str], datetime] = {}

    def give(self, *facts: Fact) -> list[Effect]:
        """Each is decided on; the effects of these alone."""
        effects: list[Effect] = []
        for fact in facts:
            effects += self._settle(decide(self.slice(fact), fact, self.now, self.policy))
        return effects

    def order(self, session_id: str, command: Callable[[State], Decision]) -> list[Effect]:
        """A command's decision on the whole of a session."""
        session = self.tables.sessions[SessionId(session_id)]
        state = load_session(cast("Transaction", self.tables), session)
        # A room that is made, or who is removed, may be known already: the use cases add those rows.
        removals = [each for each in self.tables.removals.values() if each.session_id == session_id]
        state = replace(
            state,
            rooms={**self.tables.rooms, **state.rooms},
            removals={each.identity: each for each in removals},
        )
        return self._settle(command(state))

    def put(self, session: Session) -> None:
        """A session from elsewhere, such as a reservation."""
        self.tables.save(State(session=session))

    def wait(self, duration: timedelta) -> list[Effect]:
        """Time passes, and each timer comes when it is due; their effects."""
        until = self.now + duration
        effects: list[Effect] = []
        while due := [(at, owner) for owner, at in self._timers.items() if at <= until]:
            at, (session_id, key) = min(due)
            del self._timers[session_id, key]
            self.now = max(self.now, at)
            effects += self.give(TimeCame(session_id=session_id, key=key))
        self.now = until
        return effects

    def slice(self, fact: Fact) -> State:
        """What the worker would load for this fact now."""
        return load(cast("Transaction", self.tables), fact, self.now)

    def _settle(self, decision: Decision) -> list[Effect]:
        after, effects = decision
        self.tables.save(after)
        for wake in of(effects, Wake):
            assert after.session is not None
            self._timers[after.session.session_id, wake.key] = wake.at
        self.log += effects
        return list(effects)


def of(effects: Iterable[Effect], kind: type[_E]) -> list[_E]:
    """The effects of one kind, in order."""
    return [effect for effect in effects if isinstance(effect, kind)]


def messages(effects: Iterable[Effect]) -> list[Message]:
    """Events (those of sessions apart), stops and cancels, in order."""
    sent: list[Message] = []
    for effect in effects:
        if isinstance(effect, Announce):
            sent.append(effect.event)
        elif isinstance(effect, Broadcast):
            sent.append(effect.message)
    return sent


def stops(effects: Iterable[Effect]) -> list[SttStop]:
    """The STT stops, in order."""
    return [message for message in messages(effects) if isinstance(message, SttStop)]


def story(effects: Iterable[Effect]) -> list[str]:
    """One short line for each effect that somebody outside sees, in order."""
    return [line for line in map(_line, effects) if line]


def _line(effect: Effect) -> str:
    match effect:
        case AnnounceSession():
            return f"session {effect.what}"
        case Announce():
            return _event_line(effect.event)
        case OfferJob():
            return f"offer {effect.job.track_sid} {effect.job.attempt}"
        case Broadcast(message=SttStop() as stop):
            words = (stop.track_sid, stop.attempt or "all", stop.instance or "all", stop.reason)
            return "stop " + " ".join(str(word) for word in words)
        case Broadcast():
            return type(effect.message).__name__
        case Count():
            return f"count {effect.name}"
        case Wake():
            return ""
        case _:
            return type(effect).__name__


def _event_line(event: Message) -> str:
    match event:
        case ParticipantJoined():
            return f"joined {event.participant.sid}"
        case ParticipantLeft():
            return f"left {event.participant.sid}"
        case TrackPublished():
            return f"published {event.track.sid}"
        case TrackUnpublished():
            return f"unpublished {event.track.sid}"
        case JobChanged():
            return f"job {event.track_sid} {event.state} {event.attempt} {event.reason or ''}".rstrip()
        case _:
            return type(event).__name__
