"""One conversation of two people, played on a stage that is set, and all that was seen of it.

Promises: what it returns is complete: the session has ended. Raises `Missing` for the first step that did not happen.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from examples.backend import Backend, Seen, connected
from examples.participant import HeadlessParticipant, joined

LATEST = timedelta(seconds=20)
CREATE = {"user_id": "ann", "display_name": "Ann", "departure_timeout_s": 1, "metadata": {"plan": "é"}}
CREATE_ID = str(uuid.uuid4())


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a conversation left: June's answers, who was there, and every message in the order of its coming."""

    created: dict[str, Any]
    created_again: dict[str, Any]
    guest: dict[str, Any]
    after_the_end: dict[str, Any]
    sids: dict[str, str]
    """Of the people, by identity."""
    tracks: dict[str, str]
    """Of the people's microphones, by identity."""
    heard_answer_rms: float
    seen: list[Seen]

    def of(self, type_: str) -> list[Seen]:
        """The messages of one type."""
        return [one for one in self.seen if one.type == type_]

    @property
    def from_june(self) -> list[Seen]:
        """What June published, without what it was told."""
        return [one for one in self.seen if one.exchange in {"june.events", "june.pipeline"}]

    @property
    def session_id(self) -> str:
        """Of the one session."""
        return str(self.created["session"]["session_id"])


async def conversation(amqp_url: str) -> Told:
    """Ann asks for a session, speaks, and hears an answer; a guest comes and speaks; the guest leaves, then Ann."""
    async with connected(amqp_url, lambda _: None) as backend:
        created = await backend.ask("june.session.create.v1", CREATE, id_=CREATE_ID)
        again = await backend.ask("june.session.create.v1", CREATE, id_=CREATE_ID)
        session = {"session_id": created["session"]["session_id"]}
        guest = await backend.ask("june.guest_token.create.v1", {**session, "guest_name": "Bob"})
        people, tracks = {}, {}
        async with joined(created["livekit_url"], created["access_token"]) as ann:
            people[ann.identity] = ann.sid
            tracks[ann.identity] = await ann.speak()
            heard = await ann.hear(await ann.other_voice(deadline=LATEST), deadline=LATEST)
            await backend.until("june.turn.completed.v1", within=LATEST)
            async with joined(guest["livekit_url"], guest["access_token"]) as bob:
                people[bob.identity] = bob.sid
                tracks[bob.identity] = await bob.speak()
                await _second_turn(backend, bob)
            await backend.until(
                "june.participant.left.v1",
                lambda one: one.data["participant"]["sid"] == bob.sid,
                within=LATEST,
            )
        await backend.until("june.session.ended.v1", within=LATEST)
        return Told(
            created=created,
            created_again=again,
            guest=guest,
            after_the_end=await backend.ask("june.session.get.v1", session),
            sids=people,
            tracks=tracks,
            heard_answer_rms=heard,
            seen=list(backend.seen),
        )


async def _second_turn(backend: Backend, bob: HeadlessParticipant) -> None:
    asked = await backend.until("june.ai.turn.v1", spoken_by(bob.sid), within=LATEST)
    await backend.until(
        "june.turn.completed.v1", lambda one: one.data["turn_id"] == asked.data["turn_id"], within=LATEST
    )


def spoken_by(sid: str) -> Callable[[Seen], bool]:
    """Messages about what this person said."""
    return lambda one: one.data["participant"]["sid"] == sid


def claims(token: str) -> dict[str, Any]:
    """What a LiveKit token says, unverified."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
