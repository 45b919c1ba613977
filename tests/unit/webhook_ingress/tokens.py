"""Tokens as a sender could make them, right and wrong."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

KEY, SECRET = "devkey", "a-secret-of-at-least-32-characters"
SECRETS = {KEY: SECRET.encode(), "other": b"another-secret-of-32-characters-"}
NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
BODY = b'{"event":"room_started","id":"EV_1","room":{"name":"r"}}'
HEADER = {"alg": "HS256", "typ": "JWT"}


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def body_hash(body: bytes = BODY) -> str:
    """The claim about a body."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def claims(body: bytes = BODY, now_s: int = NOW_S, **changes: Any) -> dict[str, Any]:
    """Claims as LiveKit makes them, with changes; a change to `...` leaves the claim out."""
    right: dict[str, Any] = {
        "iss": KEY,
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 300,
        "sha256": body_hash(body),
    }
    return {name: value for name, value in {**right, **changes}.items() if value is not ...}


def signed(payload: bytes, *, header: bytes | None = None, secret: str = SECRET) -> str:
    """Any bytes as a token with a right signature."""
    head = json.dumps(HEADER).encode() if header is None else header
    text = f"{b64url(head)}.{b64url(payload)}"
    return f"{text}.{b64url(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


def token(body: bytes = BODY, *, now_s: int = NOW_S, secret: str = SECRET, **changes: Any) -> str:
    """A token for a body, with changed claims."""
    return signed(json.dumps(claims(body, now_s, **changes)).encode(), secret=secret)
