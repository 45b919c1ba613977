"""Calls as LiveKit tells them: a room opens, somebody comes in, speaks, and all of it ends: six webhooks.

Promises: ids are unique to a call's `name`; bodies look like the real server's (fields, spellings, about its length);
signatures are right for an hour from when they are made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

API_KEY: Final = "june-bench"
API_SECRET: Final = "secret-of-the-benchmark-of-thirty-two-bytes"
PATH: Final = "/api/livekit-webhooks"
STORY: Final = (
    "room_started",
    "participant_joined",
    "track_published",
    "track_unpublished",
    "participant_left",
    "room_finished",
)
BEGINNING: Final = STORY[:3]
"""After these the call is live: a person in a room, with a voice that is transcribed."""

_APART: Final = 10
"""How many calls begin between two events of a call."""

_CREATED: Final = "1763841600"
_CODECS: Final = ("video/VP8", "video/H264", "video/VP9", "video/AV1", "audio/red", "audio/opus")


def webhook(name: str, event: str) -> bytes:
    """The body of one webhook of the call `name`; `name` is its room's name too."""
    body: dict[str, Any] = {"event": event, "room": _room(name)}
    if event.startswith(("participant", "track")):
        body["participant"] = _participant(name)
    if event.startswith("track"):
        body["track"] = _track(name)
    body |= {"id": f"EV_{event}_{name}", "createdAt": _CREATED}
    return json.dumps(body, separators=(",", ":")).encode()


def interleaved(names: Sequence[str], story: Sequence[str] = STORY) -> Iterator[tuple[str, str]]:
    """(call, event) for many calls at a time, each call's own in order, each at another place of its story.

    In the middle one begins, one is at its second event, and so on: the mixture of events is the same at any moment.
    """
    for number in range(len(names) + _APART * (len(story) - 1)):
        for behind, event in enumerate(story):
            call = number - _APART * behind
            if 0 <= call < len(names):
                yield names[call], event


def signed_headers(body: bytes) -> dict[str, str]:
    """What LiveKit posts it with."""
    now_s = int(time.time())
    claims = {
        "iss": API_KEY,
        "nbf": now_s,
        "exp": now_s + 3_000,
        "sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }
    text = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    signature = hmac.digest(API_SECRET.encode(), text.encode(), "sha256")
    return {
        "Authorization": f"{text}.{_base64url(signature)}",
        "Content-Type": "application/webhook+json",
        "User-Agent": "Go-http-client/1.1",
    }


def _room(name: str) -> dict[str, Any]:
    return {
        "sid": f"RM_{name}",
        "name": name,
        "emptyTimeout": 300,
        "departureTimeout": 20,
        "creationTime": _CREATED,
        "creationTimeMs": f"{_CREATED}000",
        "enabledCodecs": [{"mime": mime} for mime in _CODECS],
    }


def _participant(name: str) -> dict[str, Any]:
    return {
        "sid": f"PA_{name}",
        "identity": f"user-{name}",
        "state": "ACTIVE",
        "name": "Ada Lovelace",
        "joinedAt": _CREATED,
        "version": 3,
        "permission": {"canSubscribe": True, "canPublish": True, "canPublishData": True},
    }


def _track(name: str) -> dict[str, Any]:
    return {
        "sid": f"TR_{name}",
        "source": "MICROPHONE",
        "mimeType": "audio/red",
        "mid": "0",
        "stream": "camera",
        "audioFeatures": ["TF_ECHO_CANCELLATION", "TF_NOISE_SUPPRESSION"],
    }


def _part(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
