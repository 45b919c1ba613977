"""What June would tell of a session, for tests of the live page: an event of the contract by each method."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from tests.support import page_api
from tests.support.page_api import Json, PageApi, session


def person(sid: str, identity: str, name: str = "", *, kind: str = "standard") -> Json:
    return {"sid": sid, "identity": identity, "name": name, "kind": kind, "metadata": ""}


class Story:
    """What June tells of one session."""

    def __init__(self, api: PageApi, session_id: str, **fields: Any) -> None:
        self.api = api
        self.session = session(session_id, **fields)
        self.id = session_id
        self._turns = 0

    def listed(self) -> Story:
        """It was there before the page."""
        self.api.sessions[self.id] = self.session
        return self

    def created(self) -> Story:
        self.listed()
        self.api.tell("june.session.created.v1", {"session": self.session})
        return self

    def ended(self, reason: str = "room_finished") -> None:
        self.session |= {"status": "ended", "ended_at": page_api.now(), "end_reason": reason}
        self.api.tell("june.session.ended.v1", {"session": self.session})

    def joined(self, who: Json) -> None:
        present = who | {"state": "active", "joined_at": page_api.now(), "tracks": []}
        self.api.participants.setdefault(self.id, []).append(present)
        self._room("june.participant.joined.v1", who)

    def left(self, who: Json) -> None:
        present = self.api.participants.get(self.id, [])
        present[:] = [one for one in present if one["sid"] != who["sid"]]
        self._room("june.participant.left.v1", who)

    def published(self, who: Json, track: str, *, source: str = "microphone", type_: str = "audio") -> None:
        told = {"sid": track, "type": type_, "source": source, "name": "", "mime_type": "audio/red"}
        self._room("june.track.published.v1", who, track=told)

    def job(self, who: Json, state: str, *, attempt: int = 1, reason: str | None = None) -> None:
        job = {
            "job_id": f"j-{who['sid']}",
            "track_sid": "TR",
            "state": state,
            "attempt": attempt,
            "reason": reason,
        }
        self._tell("june.job.changed.v1", participant=_who(who), **job)

    def said(self, who: Json, utterance: str, text: str, *, id_: str | None = None) -> None:
        rest = {"language": "en", "confidence": 0.9, "start_ms": 0, "end_ms": 1}
        data = {
            "session_id": self.id,
            "utterance_id": utterance,
            "participant": _who(who),
            "text": text,
            **rest,
        }
        self.api.tell("june.transcript.added.v1", data, id_=id_)

    def answered(self, text: str, *, spoken: bool = True) -> None:
        self._turns += 1
        self._tell("june.turn.completed.v1", turn_id=f"t-{self._turns}", text=text, spoken=spoken)

    def _room(self, type_: str, who: Json, **more: Any) -> None:
        at = page_api.now()
        room = {"room_name": self.session["room_name"], "room_sid": "RM"}
        self._tell(type_, participant=who, at=at, **room, **more)

    def _tell(self, type_: str, **data: Any) -> None:
        self.api.tell(type_, {"session_id": self.id, **data})


def _who(person: Json) -> Json:
    return {"sid": person["sid"], "identity": person["identity"]}


ANN = person("PA_1", "ann", "Ann Meier")
BOB = person("PA_2", "guest-7", "Bob")


def tell_a_conversation(story: Story) -> None:
    for who, track in ((ANN, "TR_1"), (BOB, "TR_2")):
        story.joined(who)
        story.published(who, track)
        story.job(who, "waiting")
    story.published(ANN, "TR_3", source="camera", type_="video")
    story.job(ANN, "running")
    story.said(ANN, "1", "Please book a table for two tomorrow at seven.")
    story.answered("A table for two, tomorrow at seven. By the window, or is the terrace fine as well?")
    story.said(BOB, "1", "The terrace, if it does not rain.")
    story.answered("", spoken=False)


def dead_letter(**fields: Any) -> Json:
    letter = {
        "message_id": "m-1",
        "type": "",
        "reason": "",
        "error": "",
        "origin_exchange": "june.commands",
        "origin_routing_key": "june.session.create.v1",
        "attempts": 1,
        "failed_at": page_api.now(),
        "size_bytes": 12,
    }
    return letter | fields


def token(*, room: str = "kitchen", name: str = "Zoë", exp: int | None = None) -> str:
    """As LiveKit's look; signed by nobody."""
    claims = {"name": name, "exp": exp or int(time.time()) + 900, "video": {"room": room, "canPublish": True}}
    parts: tuple[Json, ...] = ({"alg": "HS256"}, claims, {})
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().strip("=") for one in parts)


def guest_answer(*, room: str, name: str) -> Json:
    return {
        "access_token": token(room=room, name=name),
        "identity": "guest-1",
        "livekit_url": "wss://livekit.example",
        "expires_at": page_api.now(),
    }
