"""Who asks, and what they may do.

A caller comes with one `Authorization: Bearer …`: an API key, or a token of the OIDC issuer when there is one. All
hashes are compared, in constant time each, so that an answer's time tells nothing. Whoever is refused learns nothing
but 401. Without any key configured (development, on loopback) everybody who speaks to this machine by its own name is
let in: a page of somewhere else that had its name point here is not.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from runtime.api_keys import ApiKey, Scope, digest_of
from runtime.settings.kinds import is_loopback
from session_api.problems import Code, Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody who was let in. `name` is part of the `source` of their commands."""

    name: str
    scopes: frozenset[Scope]

    @property
    def source(self) -> str:
        """The `source` of their commands."""
        return f"june-api/{self.name}"


class TokenVerifier(Protocol):
    """Tokens of an issuer."""

    async def caller(self, token: str) -> Caller | None:
        """Whoever the token is for; None when it is not right in any way. Raises Problem (503)."""


class Gate(Protocol):
    """Lets callers in."""

    async def admit(self, request: web.BaseRequest) -> Caller:
        """The caller. Raises Problem (401, and 503 when nobody can tell)."""


class Keys:
    """API keys, and an issuer's tokens."""

    def __init__(self, keys: Sequence[ApiKey], tokens: TokenVerifier | None = None) -> None:
        self._keys = tuple(keys)
        self._tokens = tokens

    async def admit(self, request: web.BaseRequest) -> Caller:
        """The caller of this key or token. Raises Problem (401, 503)."""
        token = _bearer(request.headers.getall("Authorization", ()))
        caller = None if token is None else self._by_key(token)
        if caller is None and token is not None and self._tokens is not None and token.count(".") == 2:
            caller = await self._tokens.caller(token)
        if caller is None:
            raise Problem(code=Code.UNAUTHENTICATED, detail="needs `Authorization: Bearer <API key>`")
        return caller

    def _by_key(self, token: str) -> Caller | None:
        given, found = digest_of(token), None
        for key in self._keys:
            if hmac.compare_digest(given, key.digest):
                found = Caller(name=key.name, scopes=key.scopes)
        return found


DEVELOPER: Final = Caller(name="dev", scopes=frozenset(Scope))


class OpenToThisMachine:
    """Everybody, as long as they ask for this machine by its own name."""

    async def admit(self, request: web.BaseRequest) -> Caller:
        """Always the same caller. Raises Problem (401) for another host's name."""
        host = request.headers.get("Host", "").strip()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if not is_loopback(name):
            raise Problem(code=Code.UNAUTHENTICATED, detail="in development only this machine is served")
        return DEVELOPER


def _bearer(headers: Sequence[str]) -> str | None:
    if len(headers) != 1:
        return None
    scheme, _, token = headers[0].partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token and " " not in token else None


def demand(caller: Caller, scope: Scope) -> None:
    """Raises Problem (403) when the caller may not do this."""
    if scope not in caller.scopes:
        raise Problem(code=Code.PERMISSION_DENIED, detail=f"this key has not the scope {scope}")
