"""Is this webhook really LiveKit's? No I/O: header values, body, keys and the time in; a verdict out.

Promises: never raises, whatever the header holds; accepts what LiveKit's own signers make. Signature and hash are
compared in constant time, and an unknown key costs what a known one does.
Refuses: any other algorithm than HS256; a token without `exp`, past it, or over 1 h before it; `nbf` or `iat` in
the future; a body that is not the one that was signed. Clocks may differ by 60 s.
"""

import binascii
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from typing import Any, Final, TypeGuard

from webhook_ingress.jsontext import json_object

LEEWAY: Final = timedelta(seconds=60)
LONGEST_LIFE: Final = timedelta(hours=1)
_LEEWAY_S: Final = LEEWAY.total_seconds()
_LONGEST_LIFE_S: Final = LONGEST_LIFE.total_seconds()
_MAX_LENGTH: Final = 8192
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_NO_SECRET: Final = bytes(32)


class Reason(StrEnum):
    """Why a webhook is refused: for metrics and logs, never for the sender."""

    NO_TOKEN = "no_token"  # noqa: S105 - a word, no token
    SEVERAL_TOKENS = "several_tokens"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    TOO_LONG_LIVED = "too_long_lived"
    NOT_YET_VALID = "not_yet_valid"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Verified:
    """Signed with the secret of this key, for this body, now."""

    key: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not to be believed."""

    reason: Reason


def verify(
    header_values: Sequence[str], body: bytes, secrets: Mapping[str, bytes], now: datetime
) -> Verified | Rejected:
    """Judge the values of all `Authorization` headers together with the body. `secrets` are by key."""
    if len(header_values) != 1:
        return Rejected(Reason.SEVERAL_TOKENS if header_values else Reason.NO_TOKEN)
    token = _bare(header_values[0])
    parts = _TOKEN.fullmatch(token) if len(token) <= _MAX_LENGTH else None
    if parts is None:
        return Rejected(Reason.MALFORMED if token else Reason.NO_TOKEN)
    header, payload, signature = parts.groups()
    algorithm = _algorithm_problem(header)
    if algorithm is not None:
        return Rejected(algorithm)
    claims = _decoded(payload)
    if claims is None:
        return Rejected(Reason.MALFORMED)
    key = claims.get("iss")
    if not _is_signed(secrets, key, f"{header}.{payload}", signature):
        return Rejected(Reason.SIGNATURE)
    problem = _time_problem(claims, now.timestamp()) or _body_problem(claims, body)
    return Verified(str(key)) if problem is None else Rejected(problem)


def _bare(value: str) -> str:
    value = value.strip(" \t")
    return value[7:].lstrip(" ") if value[:7].lower() == "bearer " else value


# Senders use one header for all their tokens; the cache is small, so that hostile ones cannot fill memory.
@lru_cache(maxsize=16)
def _algorithm_problem(header: str) -> Reason | None:
    fields = _decoded(header)
    if fields is None:
        return Reason.MALFORMED
    # `crit` asks for extensions to be understood, and we know none.
    return None if fields.get("alg") == "HS256" and "crit" not in fields else Reason.ALGORITHM


def _decoded(segment: str) -> dict[str, Any] | None:
    standard = segment.encode("ascii").translate(_STANDARD) + b"=" * (-len(segment) % 4)
    try:
        return json_object(binascii.a2b_base64(standard, strict_mode=True))
    except binascii.Error:
        return None


def _is_signed(secrets: Mapping[str, bytes], key: object, signed: str, signature: str) -> bool:
    secret = secrets.get(key) if isinstance(key, str) else None
    digest = hmac.digest(_NO_SECRET if secret is None else secret, signed.encode("ascii"), "sha256")
    # As text: a signature that decodes to the same bytes, but is spelled in another way, is none.
    expected = urlsafe_b64encode(digest).rstrip(b"=")
    return hmac.compare_digest(expected, signature.encode("ascii")) and secret is not None


def _time_problem(claims: Mapping[str, Any], now_s: float) -> Reason | None:
    expires = claims.get("exp")
    if not _is_number(expires):
        return Reason.MALFORMED
    if expires <= now_s - _LEEWAY_S:
        return Reason.EXPIRED
    if expires > now_s + _LONGEST_LIFE_S:
        return Reason.TOO_LONG_LIVED
    for claim in ("nbf", "iat"):
        if claim in claims:
            begins = claims[claim]
            if not _is_number(begins):
                return Reason.MALFORMED
            if begins > now_s + _LEEWAY_S:
                return Reason.NOT_YET_VALID
    return None


def _is_number(value: object) -> TypeGuard[int | float]:
    return type(value) is int or (type(value) is float and isfinite(value))


def _body_problem(claims: Mapping[str, Any], body: bytes) -> Reason | None:
    claimed = claims.get("sha256")
    if not isinstance(claimed, str):
        return Reason.BODY
    expected = binascii.b2a_base64(sha256(body).digest(), newline=False)
    same = hmac.compare_digest(expected, claimed.encode())
    return None if same else Reason.BODY
