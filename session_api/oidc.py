"""Tokens of an OIDC issuer, checked by the keys that it publishes.

A token counts when an asymmetric key of the issuer signed it, it names the issuer and our audience, and it has not run
out (60 s of leeway). Its scopes are those of the claim `scope` that June knows; its holder's name is made of `sub`.
Keys are fetched when a token names one that is not known, and again after five minutes, so that a key that the issuer
has withdrawn counts no more; once in ten seconds at most, so that made-up tokens cannot make us ask all the time. An
issuer that cannot be reached leaves the keys that are known; a token by another one may be right, and is told to come
again.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import aiohttp
import jwt
import structlog

from runtime.api_keys import RESERVED, Scope
from session_api.auth import Caller
from session_api.problems import Code, Problem

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY: Final = timedelta(seconds=60)
_FETCH_WITHIN: Final = timedelta(seconds=3)
_FETCH_EVERY: Final = timedelta(seconds=10)
_FRESH_FOR: Final = timedelta(minutes=5)

log = structlog.get_logger(__name__)

FetchKeys = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives the issuer's JSON Web Key Set. Raises OSError, TimeoutError, ValueError, aiohttp.ClientError."""


class IssuerTokens:
    """Verifies tokens of one issuer."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        fetch: FetchKeys,
        algorithms: tuple[str, ...] = ALGORITHMS,
        fetch_every: timedelta = _FETCH_EVERY,
        fresh_for: timedelta = _FRESH_FOR,
    ) -> None:
        """Nothing is fetched before the first token. `algorithms` are never symmetric ones outside of tests."""
        self._issuer = issuer
        self._audience = audience
        self._fetch = fetch
        self._algorithms = algorithms
        self._fetch_every_s = fetch_every.total_seconds()
        self._fresh_for_s = fresh_for.total_seconds()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._reached = True
        self._refreshing: asyncio.Task[None] | None = None

    async def caller(self, token: str) -> Caller | None:
        """Whoever the token is for; None when it is not right in any way. Raises Problem (503)."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._key(kid) if isinstance(kid, str) else None
            return None if key is None else self._verified(token, key)
        except jwt.PyJWTError as error:
            log.info("oidc.refused", error=type(error).__name__)
            return None

    def _verified(self, token: str, key: jwt.PyJWK) -> Caller:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(self._algorithms),
            issuer=self._issuer,
            audience=self._audience,
            leeway=_LEEWAY,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        granted = str(claims.get("scope") or "").split()
        scopes = frozenset(scope for scope in Scope if scope in granted)
        return Caller(name=caller_name(str(claims["sub"])), scopes=scopes)

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        begun = self._refreshing is None and self._wants_fetch(kid)
        if begun:
            self._refreshing = asyncio.create_task(self._refresh(), name="keys of the issuer")
        if self._refreshing is not None and (begun or kid not in self._keys):
            # Shielded: others wait for it too, whether or not the first one stays.
            await asyncio.shield(self._refreshing)
        key = self._keys.get(kid)
        if key is None and not self._reached:
            raise Problem(code=Code.UNAVAILABLE, detail="the issuer's keys cannot be had; try again")
        return key

    def _wants_fetch(self, kid: str) -> bool:
        age_s = asyncio.get_running_loop().time() - self._fetched_at
        return age_s >= (self._fresh_for_s if kid in self._keys else self._fetch_every_s)

    async def _refresh(self) -> None:
        self._fetched_at = asyncio.get_running_loop().time()
        self._reached = False
        try:
            self._keys = usable(await self._fetch(), self._algorithms)
            self._reached = True
        except (OSError, TimeoutError, ValueError, aiohttp.ClientError, jwt.PyJWTError) as error:
            log.warning("oidc.keys_not_fetched", error=f"{type(error).__name__}: {error}")
        finally:
            self._refreshing = None


def usable(key_set: Mapping[str, Any], algorithms: tuple[str, ...]) -> dict[str, jwt.PyJWK]:
    """The keys that may verify, by `kid`. Those of a kind that we do not take are left out."""
    found: dict[str, jwt.PyJWK] = {}
    for document in key_set["keys"]:
        if not isinstance(document, dict) or document.get("use", "sig") != "sig" or "kid" not in document:
            continue
        try:
            key = jwt.PyJWK(document)
        except (jwt.PyJWTError, TypeError, ValueError):
            continue
        if key.algorithm_name in algorithms:
            found[str(document["kid"])] = key
    return found


def caller_name(subject: str) -> str:
    """A name for the holder of a token that fits into a message's `source`, and is nobody's key."""
    plain = subject.isascii() and subject.isprintable() and 0 < len(subject) <= 200
    return RESERVED + (subject if plain else hashlib.sha256(subject.encode("utf-8", "replace")).hexdigest())


def fetched_from(url: str) -> FetchKeys:
    """The key set at `url`. Redirects are not followed: the URL is the one that is trusted."""

    async def fetch() -> Mapping[str, Any]:
        limit = aiohttp.ClientTimeout(total=_FETCH_WITHIN.total_seconds())
        async with (
            aiohttp.ClientSession(timeout=limit, raise_for_status=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            match json.loads(await answer.read()):
                case {"keys": list(keys)}:
                    return {"keys": keys}
                case _:
                    raise ValueError("no JSON Web Key Set")

    return fetch
