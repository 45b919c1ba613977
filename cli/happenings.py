"""June's events in words, with how long jobs and turns took. Pure: times are those of the envelopes.

Promises: a line for every event, of a type that it does not know too; what it remembers of a session is forgotten
with the session's end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas.envelope import Envelope
from schemas.events import (
    JobChanged,
    JobState,
    ParticipantJoined,
    ParticipantLeft,
    SessionCreated,
    SessionEnded,
    SessionStarted,
    TrackPublished,
    TrackUnpublished,
    TranscriptAdded,
    TurnCompleted,
)

Data = Mapping[str, Any]
_PLAIN = frozenset({"microphone", "camera"})
"""Sources of which everybody knows the kind."""


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One line. `style` is rich's; `took` is how long what is over took, None where nothing is."""

    what: str
    style: str = ""
    took: timedelta | None = None
    took_for: str = ""


@dataclass(kw_only=True)
class _Session:
    """What must be remembered to say how long something took."""

    given: dict[tuple[str, int], datetime] = field(default_factory=dict)
    said_at: datetime | None = None
    names: dict[str, str] = field(default_factory=dict)

    def who(self, data: Data) -> str:
        """A participant as people call it: by its name once that was told, else by its identity."""
        identity: str = data["participant"]["identity"]
        return self.names.get(identity, identity)


class Teller:
    """Tells events in the order in which they come."""

    def __init__(self) -> None:
        """Remembers nothing yet."""
        self._sessions: dict[str, _Session] = {}

    def tell(self, envelope: Envelope) -> Happening:
        """The line of one event."""
        session_id, data = envelope.subject or "", envelope.data
        session = self._sessions.setdefault(session_id, _Session())
        try:
            return self._line(envelope, data, session)
        except (KeyError, TypeError):
            return Happening(what=envelope.type)  # of a later version, maybe
        finally:
            if envelope.type == SessionEnded.TYPE:
                del self._sessions[session_id]

    def _line(self, envelope: Envelope, data: Data, session: _Session) -> Happening:
        match envelope.type:
            case JobChanged.TYPE:
                return _job(data, envelope.time, session)
            case TranscriptAdded.TYPE:
                session.said_at = envelope.time
                return Happening(what=f"{session.who(data)} said: {data['text']}", style="bold")
            case TurnCompleted.TYPE:
                return _turn(data, envelope.time, session)
            case _:
                return _person_or_session(envelope.type, data, session)


def _job(data: Data, at: datetime | None, session: _Session) -> Happening:
    job, who = (data["job_id"], data["attempt"]), session.who(data)
    attempt = "" if data["attempt"] == 1 else f", attempt {data['attempt']}"
    match data["state"]:
        case JobState.WAITING:
            if at is not None:
                session.given[job] = at
            return Happening(what=f"listening to {who} is asked for{attempt}", style="yellow")
        case JobState.RUNNING:
            return Happening(
                what=f"{who} is listened to{attempt}",
                style="yellow",
                took=_since(session.given.pop(job, None), at),
                took_for="to begin",
            )
        case _:
            session.given.pop(job, None)
            return Happening(what=f"listening to {who} has ended: {data['reason']}", style="yellow")


def _turn(data: Data, at: datetime | None, session: _Session) -> Happening:
    took = _since(session.said_at, at)
    if not data["text"]:
        return Happening(what="no answer", style="green", took=took, took_for="since it was said")
    how = "answered and spoken" if data["spoken"] else "answered"
    return Happening(
        what=f"{how}: {data['text']}", style="green", took=took, took_for="from word to last word"
    )


def _person_or_session(type_: str, data: Data, session: _Session) -> Happening:
    match type_:
        case SessionCreated.TYPE:
            return Happening(what=f"session of {_owner(data)} in {_room(data)}", style="cyan")
        case SessionStarted.TYPE:
            return Happening(what="session has begun: somebody is there", style="cyan")
        case SessionEnded.TYPE:
            return Happening(what=f"session has ended: {data['session']['end_reason']}", style="cyan")
        case ParticipantJoined.TYPE:
            return Happening(what=f"{_came(data, session)} has come", style="magenta")
        case ParticipantLeft.TYPE:
            return Happening(what=f"{session.who(data)} has gone", style="magenta")
        case TrackPublished.TYPE:
            return Happening(what=f"{_track(data, session)} is on", style="blue")
        case TrackUnpublished.TYPE:
            return Happening(what=f"{_track(data, session)} is off", style="blue")
        case _:
            return Happening(what=type_)


def _owner(data: Data) -> str:
    return data["session"]["user_id"] or "nobody (adopted)"


def _room(data: Data) -> str:
    return f"room {data['session']['room_name']}"


def _came(data: Data, session: _Session) -> str:
    """Both, once: what is told later has the name alone."""
    identity, name = data["participant"]["identity"], data["participant"]["name"]
    if not name or name == identity:
        return str(identity)
    session.names[identity] = name
    return f"{name} ({identity})"


def _track(data: Data, session: _Session) -> str:
    kind, source = data["track"]["type"], str(data["track"]["source"]).replace("_", " ")
    return f"{session.who(data)}'s {source}" + ("" if source in _PLAIN else f" ({kind})")


def _since(start: datetime | None, end: datetime | None) -> timedelta | None:
    return end - start if start is not None and end is not None else None
