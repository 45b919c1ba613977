"""Which tokens are believed."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.webhook_ingress.tokens import (
    BODY,
    HEADER,
    KEY,
    NOW,
    NOW_S,
    SECRETS,
    b64url,
    body_hash,
    claims,
    signed,
    token,
)
from webhook_ingress.verify import Reason, Rejected, Verified, verify

RIGHT = token()
HEAD, PAYLOAD, SIGNATURE = RIGHT.split(".")


def judged(*values: str, body: bytes = BODY) -> Reason | None:
    """The reason of the refusal, or None when it was believed."""
    verdict = verify(values, body, SECRETS, NOW)
    return verdict.reason if isinstance(verdict, Rejected) else None


@pytest.mark.parametrize("value", [RIGHT, f"Bearer {RIGHT}", f"bearer {RIGHT}", f"Bearer   {RIGHT} "])
def test_a_right_token_is_believed_with_and_without_bearer(value: str) -> None:
    """The verdict names the key that signed."""
    assert verify([value], BODY, SECRETS, NOW) == Verified(KEY)


def test_the_secret_is_chosen_by_iss() -> None:
    """A second key verifies too, with its own secret only."""
    other = SECRETS["other"].decode()
    assert judged(token(iss="other", secret=other)) is None
    assert judged(token(iss="other")) is Reason.SIGNATURE


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW_S - 59},
        {"exp": NOW_S + 3600},
        {"exp": NOW_S + 300.5},
        {"nbf": NOW_S + 60, "iat": NOW_S + 60},
        {"nbf": ..., "iat": ...},
        {"iat": NOW_S - 86400},
        {"video": {"room": "r"}, "unknown": None},
    ],
)
def test_claims_that_are_fine(changes: dict[str, Any]) -> None:
    """60 s of leeway on both sides, an hour at most, `nbf` and `iat` optional, unknown claims ignored."""
    assert judged(token(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW_S - 60}, Reason.EXPIRED),
        ({"exp": 0}, Reason.EXPIRED),
        ({"exp": -(10**300)}, Reason.EXPIRED),
        ({"exp": NOW_S + 3601}, Reason.TOO_LONG_LIVED),
        ({"exp": NOW_S + 30 * 365 * 86400}, Reason.TOO_LONG_LIVED),
        ({"exp": 10**400}, Reason.TOO_LONG_LIVED),
        ({"exp": ...}, Reason.MALFORMED),
        ({"exp": None}, Reason.MALFORMED),
        ({"exp": True}, Reason.MALFORMED),
        ({"exp": str(NOW_S + 60)}, Reason.MALFORMED),
        ({"exp": [NOW_S + 60]}, Reason.MALFORMED),
        ({"exp": float("nan")}, Reason.MALFORMED),
        ({"exp": float("inf")}, Reason.MALFORMED),
        ({"nbf": NOW_S + 61}, Reason.NOT_YET_VALID),
        ({"iat": NOW_S + 61}, Reason.NOT_YET_VALID),
        ({"nbf": None}, Reason.MALFORMED),
        ({"iat": False}, Reason.MALFORMED),
        ({"nbf": "0"}, Reason.MALFORMED),
        ({"iss": ...}, Reason.SIGNATURE),
        ({"iss": None}, Reason.SIGNATURE),
        ({"iss": [KEY]}, Reason.SIGNATURE),
        ({"iss": "nobody"}, Reason.SIGNATURE),
        ({"iss": "\ud800"}, Reason.MALFORMED),
        ({"sha256": ...}, Reason.BODY),
        ({"sha256": None}, Reason.BODY),
        ({"sha256": body_hash(b"other")}, Reason.BODY),
        ({"sha256": body_hash().rstrip("=")}, Reason.BODY),
        ({"sha256": hashlib.sha256(BODY).hexdigest()}, Reason.BODY),
        ({"sha256": "ü\ud800"}, Reason.MALFORMED),
        ({"sha256": "ü"}, Reason.BODY),
    ],
)
def test_claims_that_are_wrong_though_signed(changes: dict[str, Any], reason: Reason) -> None:
    """Each claim is checked for its type and its value."""
    assert judged(token(**changes)) is reason


def test_the_body_must_be_the_one_that_was_signed() -> None:
    """One changed byte, or none at all, and it is refused."""
    assert judged(RIGHT, body=BODY + b" ") is Reason.BODY
    assert judged(RIGHT, body=b"") is Reason.BODY


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": None},
        {"alg": ["HS256"]},
        {},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
    ],
)
def test_any_other_algorithm_is_refused(header: dict[str, Any]) -> None:
    """HS256 as it is written, and no critical extension."""
    payload = json.dumps(claims()).encode()
    assert judged(signed(payload, header=json.dumps(header).encode())) is Reason.ALGORITHM


def test_an_unsigned_token_is_refused() -> None:
    """`alg: none` with an empty signature, and a right header with one."""
    none = b64url(b'{"alg":"none"}')
    assert judged(f"{none}.{PAYLOAD}.") is Reason.MALFORMED
    assert judged(f"{HEAD}.{PAYLOAD}.") is Reason.MALFORMED


def test_another_hash_with_the_right_secret_is_refused() -> None:
    """A signature that is SHA-512 under a header that says HS256."""
    text = f"{HEAD}.{PAYLOAD}"
    digest = hmac.digest(SECRETS[KEY], text.encode(), "sha512")
    assert judged(f"{text}.{b64url(digest)}") is Reason.MALFORMED
    assert judged(f"{text}.{b64url(digest[:32])}") is Reason.SIGNATURE


def test_a_signature_has_one_spelling() -> None:
    """Another last character that decodes to the same bytes is refused, and so is padding."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = SIGNATURE[:-1] + alphabet[alphabet.index(SIGNATURE[-1]) ^ 1]
    assert base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(SIGNATURE + "=")
    assert judged(f"{HEAD}.{PAYLOAD}.{twin}") is Reason.SIGNATURE
    assert judged(f"{RIGHT}=") is Reason.MALFORMED


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], Reason.NO_TOKEN),
        ([""], Reason.NO_TOKEN),
        (["Bearer "], Reason.MALFORMED),
        ([RIGHT, RIGHT], Reason.SEVERAL_TOKENS),
        ([f"{RIGHT}, {RIGHT}"], Reason.MALFORMED),
        ([f"{RIGHT} {RIGHT}"], Reason.MALFORMED),
        ([f"Bearer Bearer {RIGHT}"], Reason.MALFORMED),
        ([f"Basic {RIGHT}"], Reason.MALFORMED),
        ([f"{RIGHT}\n"], Reason.MALFORMED),
        ([f"{HEAD}.{PAYLOAD}"], Reason.MALFORMED),
        ([f"{RIGHT}.x"], Reason.MALFORMED),
        (["..", "."][:1], Reason.MALFORMED),
        (["ü.ü.ü"], Reason.MALFORMED),
        (["\udcff" * 10], Reason.MALFORMED),
        (["a" * 10_000_000], Reason.MALFORMED),
        ([f"{HEAD}+.{PAYLOAD}.{SIGNATURE}"], Reason.MALFORMED),
        ([f"{HEAD[:-1]}.{PAYLOAD}.{SIGNATURE}"], Reason.MALFORMED),
    ],
)
def test_what_is_no_token(values: list[str], reason: Reason) -> None:
    """Nothing, several, and everything that is not three parts of base64url."""
    assert judged(*values) is reason


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b"[" * 3000,
        b'{"a":' * 1000,
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        '{"exp": 1}'.encode("utf-16"),
        b'{"exp": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_payload_or_header_that_is_no_object_is_refused(payload: bytes) -> None:
    """Signed or not, it never raises."""
    assert judged(signed(payload)) is Reason.MALFORMED
    assert judged(signed(json.dumps(claims()).encode(), header=payload)) is Reason.MALFORMED


def test_a_token_over_8_kib_is_refused() -> None:
    """Though everything else about it is right."""
    assert judged(token(padding="x" * 9000)) is Reason.MALFORMED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*"), max_size=2), st.binary(max_size=50))
def test_no_header_makes_it_raise_or_believe(values: list[str], body: bytes) -> None:
    """Arbitrary text is refused."""
    assert isinstance(verify(values, body, SECRETS, NOW), Rejected)


@given(JSON, JSON, JSON, JSON)
def test_no_signed_claims_make_it_raise(exp: Any, nbf: Any, iss: Any, sha: Any) -> None:
    """Arbitrary JSON in every claim, signed: a verdict each time."""
    payload = json.dumps({"iss": KEY, "exp": exp, "nbf": nbf, "sha256": sha}).encode()
    assert isinstance(verify([signed(payload)], BODY, SECRETS, NOW), Rejected)
    assert isinstance(verify([token(iss=iss, exp=exp)], BODY, SECRETS, NOW), Verified | Rejected)


def test_time_is_the_callers() -> None:
    """The same token is right now, and expired later."""
    assert isinstance(verify([RIGHT], BODY, SECRETS, NOW + timedelta(seconds=359)), Verified)
    assert verify([RIGHT], BODY, SECRETS, NOW + timedelta(seconds=361)) == Rejected(Reason.EXPIRED)


def test_the_header_is_the_one_that_livekit_sends() -> None:
    """A guard for the tests above: they would all pass for a verifier that refuses everything."""
    assert HEADER == {"alg": "HS256", "typ": "JWT"}
    assert judged(RIGHT) is None
