"""Tokens of an issuer with real asymmetric keys, which it publishes over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from runtime.api_keys import Scope
from session_api.auth import Caller
from session_api.oidc import IssuerTokens, fetched_from

ISSUER, AUDIENCE = "https://login.example.org/", "june"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RIGHT = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "scope": "openid sessions:read"}
ANN = Caller(name="oidc:ann", scopes=frozenset({Scope.SESSIONS_READ}))


@dataclass
class Issuer:
    """Its published keys, and how often they were asked for."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    @asynccontextmanager
    async def tokens(self) -> AsyncIterator[IssuerTokens]:
        """The check of its tokens, by what it serves on a port of its own."""
        application = web.Application()
        application.router.add_get("/jwks", self._serve)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
            yield IssuerTokens(issuer=ISSUER, audience=AUDIENCE, fetch=fetched_from(url))
        finally:
            await runner.cleanup()

    async def _serve(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"keys": self.keys})


def published(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    """The public half, as an issuer shows it."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    public = json.loads(kind.to_jwk(key.public_key()))
    return {**public, "kid": kid, "alg": algorithm, "use": "sig"}


def signed(key: Any = RSA_KEY, algorithm: str = "RS256", kid: str = "r1", **claims: Any) -> str:
    """A token; a claim that is None is left out."""
    all_claims = {**RIGHT, "exp": int(time.time()) + 300, **claims}
    given = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(keys=[published(RSA_KEY, "r1", "RS256"), published(EC_KEY, "e1", "ES256")])


@pytest.mark.parametrize(
    ("token", "caller"),
    [
        (signed, ANN),
        (lambda: signed(EC_KEY, "ES256", "e1"), ANN),
        (lambda: signed(aud=["other", AUDIENCE]), ANN),
        (lambda: signed(exp=int(time.time()) - 30), ANN),  # within the leeway
        (lambda: signed(scope=None), Caller(name="oidc:ann", scopes=frozenset())),
    ],
    ids=["RSA", "elliptic curve", "one of several audiences", "a clock that is late", "no scope"],
)
async def test_a_right_token_counts(issuer: Issuer, token: Callable[[], str], caller: Caller) -> None:
    """Whatever kind of key the issuer has; scopes that June does not know are nothing."""
    async with issuer.tokens() as tokens:
        assert await tokens.caller(token()) == caller


@pytest.mark.parametrize(
    "token",
    [
        lambda: signed(aud="another"),
        lambda: signed(aud=None),
        lambda: signed(iss="https://evil.example.org/"),
        lambda: signed(iss=None),
        lambda: signed(exp=int(time.time()) - 90),
        lambda: signed(exp=None),
        lambda: signed(sub=None),
        lambda: signed(nbf=int(time.time()) + 90),
        lambda: signed(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        lambda: signed(kid="unknown"),
        lambda: signed(kid="e1"),
        lambda: signed("", "none"),
        lambda: signed() + "A",
        lambda: "no token",
    ],
    ids=[
        "audience", "no audience", "issuer", "no issuer", "expired", "no end", "nobody", "not yet",
        "another's key", "unknown key", "key of another kind", "unsigned", "changed", "text",
    ],
)  # fmt: skip
async def test_a_wrong_token_does_not(issuer: Issuer, token: Callable[[], str]) -> None:
    """Not for this audience, not of this issuer, not now, not by its key."""
    async with issuer.tokens() as tokens:
        assert await tokens.caller(token()) is None


async def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    """A token that was made with the published key as the secret of a symmetric signature is refused."""
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body = ({"alg": "HS256", "kid": "r1", "typ": "JWT"}, {**RIGHT, "exp": int(time.time()) + 300})
    parts = [jwt.utils.base64url_encode(json.dumps(part).encode()) for part in (head, body)]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    parts.append(jwt.utils.base64url_encode(signature.sign(b".".join(parts), pem)))
    async with issuer.tokens() as tokens:
        assert await tokens.caller(b".".join(parts).decode()) is None


async def test_keys_are_asked_for_once(issuer: Issuer) -> None:
    """Not again for a token with a key that is known, nor for made-up ones one after the other."""
    async with issuer.tokens() as tokens:
        for token in (signed(), signed(), signed(kid="made-up"), signed(kid="another")):
            await tokens.caller(token)
    assert issuer.asked == 1
