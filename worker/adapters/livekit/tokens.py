"""Access tokens for one room, signed here (HS256, as LiveKit wants them).

Promises: the same for the same arguments; the grants that the holder needs and no other; no I/O.
Refuses: an empty room or identity, which LiveKit would read as "any".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

_HEADER = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class AccessTokens:
    """Signs with one key pair. `bot_ttl` is how long the tokens of June's own bots can be used to join."""

    def __init__(self, *, key: str, secret: str, bot_ttl: timedelta) -> None:
        self._key = key
        self._secret = secret.encode()
        self._bot_ttl = bot_ttl

    def person(
        self,
        *,
        room_name: str,
        identity: str,
        name: str | None,
        now: datetime,
        ttl: timedelta,
        can_publish: bool = True,
        can_subscribe: bool = True,
        can_publish_data: bool = True,
    ) -> str:
        """For a user or guest: of kind standard, may join this room and do what is asked for."""
        grants = {
            "canPublish": can_publish,
            "canSubscribe": can_subscribe,
            "canPublishData": can_publish_data,
        }
        about = {} if name is None else {"name": name}
        return self._signed(room_name, identity, grants, about, now=now, ttl=ttl)

    def transcriber(self, *, room_name: str, identity: str, now: datetime) -> str:
        """Kind agent, hidden, subscribe only."""
        grants = {"canSubscribe": True, "canPublish": False, "canPublishData": False, "hidden": True}
        return self._signed(room_name, identity, grants, {"kind": "agent"}, now=now, ttl=self._bot_ttl)

    def speaker(self, *, room_name: str, identity: str, now: datetime) -> str:
        """Kind agent, may publish a microphone track and nothing else. Not hidden, so that it is heard."""
        grants = {
            "canSubscribe": False,
            "canPublish": True,
            "canPublishSources": ["microphone"],
            "canPublishData": False,
        }
        return self._signed(room_name, identity, grants, {"kind": "agent"}, now=now, ttl=self._bot_ttl)

    def _signed(
        self,
        room_name: str,
        identity: str,
        grants: Mapping[str, Any],
        about: Mapping[str, str],
        *,
        now: datetime,
        ttl: timedelta,
    ) -> str:
        if not room_name or not identity:
            raise ValueError("a token is for one room and one identity")
        issued_s = int(now.timestamp())
        claims = {
            "iss": self._key,
            "sub": identity,
            "iat": issued_s,
            "nbf": issued_s,
            "exp": issued_s + int(ttl.total_seconds()),
            "video": {"roomJoin": True, "room": room_name, **grants},
            **about,
        }
        signing_input = _HEADER + b"." + _unpadded(_to_json(claims).encode())
        signature = hmac.digest(self._secret, signing_input, hashlib.sha256)
        return (signing_input + b"." + _unpadded(signature)).decode("ascii")


def _unpadded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
