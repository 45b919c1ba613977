"""The keys of the HTTP API: a name, a hash, and what it may do. The keys themselves are nowhere.

Reads lines of `name sha256-in-hex scope,scope`; empty lines are skipped. Several lines may have one name, so that a key
can be changed while the old one still works. Refuses any other line by its number, and shows none of it.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

_NAME = re.compile(r"[!-~]{1,100}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
RESERVED = "oidc:"
"""Names that begin so are those of people who come with a token of the OIDC issuer."""


class Scope(StrEnum):
    """What a caller may do."""

    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    EVENTS_READ = "events:read"
    SYSTEM_READ = "system:read"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """One key. `digest` is the SHA-256 of the key as text in UTF-8."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]


def digest_of(key: str) -> bytes:
    """What is configured in place of a key. Keys are long and random: a slow hash would add nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_api_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys of all lines. ValueError says which line is wrong, and how."""
    keys: list[ApiKey] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            key = _read_line(line, number)
            if any(key.digest == other.digest for other in keys):
                raise ValueError(f"line {number} has a hash that an earlier line has")
            keys.append(key)
    if not keys:
        raise ValueError("there is no key")
    return tuple(keys)


def _read_line(line: str, number: int) -> ApiKey:
    parts = line.split()
    if len(parts) != 3:
        raise ValueError(f"line {number} must be `name sha256-in-hex scope,scope`")
    name, digest, scopes = parts
    if not _NAME.fullmatch(name) or name.startswith(RESERVED):
        raise ValueError(f"line {number} has no name of visible ASCII characters, or one that is reserved")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"line {number} has no SHA-256 of 64 hexadecimal digits")
    unknown = set(scopes.split(",")) - set(Scope)
    if unknown:
        raise ValueError(f"line {number} has an unknown scope; there are {', '.join(Scope)}")
    return ApiKey(
        name=name, digest=bytes.fromhex(digest), scopes=frozenset(Scope(scope) for scope in scopes.split(","))
    )
