"""LiveKit's webhooks as they are on the wire: bodies in protojson, signed, posted to the ingress.

Promises: fields at their default are absent, numbers of 64 bits are strings, track events carry no more than LiveKit
puts into them. Each call of a body function makes an event of its own, with an id of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt

from tests.e2e.names import room_name

Body = dict[str, Any]


class LiveKitPost:
    """Posts to the ingress, as whoever knows the secret."""

    def __init__(self, url: str, *, key: str, secret: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._key = key
        self._secret = secret
        self._session = session

    async def __call__(self, body: Body | bytes) -> int:
        """The status of the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = {"Authorization": self._token(raw), "Content-Type": "application/webhook+json"}
        async with self._session.post(self._url, data=raw, headers=headers) as answer:
            return answer.status

    async def all(self, *bodies: Body | bytes) -> None:
        """One after the other; each must be safe."""
        for body in bodies:
            assert await self(body) == 200

    def _token(self, body: bytes) -> str:
        now_s = int(time.time())
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        claims = {"iss": self._key, "iat": now_s, "nbf": now_s, "exp": now_s + 300, "sha256": digest}
        return jwt.encode(claims, self._secret, algorithm="HS256")


class RoomStory:
    """What can happen in one room under one sid, as webhook bodies; without a name, in a room of its own."""

    def __init__(self, name: str | None = None, *, sid: str | None = None) -> None:
        self.name = room_name() if name is None else name
        self.sid = sid or "RM_" + secrets.token_hex(6)

    def started(self) -> Body:
        return self._event("room_started", room=self._room())

    def finished(self) -> Body:
        return self._event("room_finished", room=self._room())

    def joined(self, person: Mapping[str, Any]) -> Body:
        return self._event("participant_joined", room=self._room(), participant=dict(person))

    def left(self, person: Mapping[str, Any]) -> Body:
        gone = {**person, "state": "DISCONNECTED"}
        return self._event("participant_left", room=self._room(), participant=gone)

    def aborted(self, person: Mapping[str, Any]) -> Body:
        gone = {**person, "state": "DISCONNECTED"}
        return self._event("participant_connection_aborted", room=self._room(), participant=gone)

    def published(self, person: Mapping[str, Any], track: Mapping[str, Any]) -> Body:
        return self._track_event("track_published", person, track)

    def unpublished(self, person: Mapping[str, Any], track: Mapping[str, Any]) -> Body:
        return self._track_event("track_unpublished", person, track)

    def other(self, event: str, **more: Any) -> Body:
        """An event of any name."""
        return self._event(event, room=self._room(), **more)

    def _track_event(self, event: str, person: Mapping[str, Any], track: Mapping[str, Any]) -> Body:
        publisher = {"sid": person["sid"], "identity": person["identity"]}
        room = {"sid": self.sid, "name": self.name}
        return self._event(event, room=room, participant=publisher, track=dict(track))

    def _room(self) -> Body:
        return {
            "sid": self.sid,
            "name": self.name,
            "emptyTimeout": 300,
            "departureTimeout": 20,
            "creationTime": str(int(time.time())),
            "turnPassword": "turn-password",
        }

    def _event(self, event: str, **more: Any) -> Body:
        event_id = "EV_" + secrets.token_hex(6)
        return {"event": event, **more, "id": event_id, "createdAt": str(int(time.time()))}


def person(identity: str, *, sid: str | None = None, kind: str | None = None, **more: Any) -> Body:
    """Somebody in a room; without a kind, a human."""
    body = {
        "sid": sid or "PA_" + secrets.token_hex(6),
        "identity": identity,
        "state": "ACTIVE",
        "joinedAt": str(int(time.time())),
        "version": 2,
        "permission": {"canSubscribe": True, "canPublish": True},
    }
    return body | ({"kind": kind} if kind else {}) | more


def microphone(*, sid: str | None = None, **more: Any) -> Body:
    """A track as a microphone's is; audio is protojson's default and so is not said."""
    body = {
        "sid": sid or "TR_" + secrets.token_hex(6),
        "name": "mic",
        "source": "MICROPHONE",
        "mimeType": "audio/red",
    }
    return body | more
