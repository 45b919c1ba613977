"""A dead letter as a person looks at it: what it is, why it is there, since when, and a short key to name it by.

The key comes from the letter itself, so it is the same at each look: of a message that failed twice, each letter
has its own.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.failures import CommandFailed, ExitCode, usage
from messaging.dead_letters import told_of
from messaging.message import Incoming
from runtime.redaction import redacted
from schemas.times import format_time

KEY_LENGTH = 10
_SECRET_FIELDS = frozenset({"token", "access_token", "turnPassword", "streamKey"})
_MASK = "***"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What a dead letter tells. Headers that somebody else wrote may lack, or be of another type: then empty."""

    key: str
    message_id: str | None
    type: str | None
    reason: str
    error: str
    origin_exchange: str
    origin_routing_key: str
    attempts: int | None
    failed_at: datetime | None

    @classmethod
    def of(cls, message: Incoming) -> "Letter":
        """Never raises, whatever the message is."""
        headers = told_of(message)
        return cls(
            key=key_of(message),
            message_id=message.message_id,
            type=message.type,
            reason=_text(headers.get("reason")),
            error=_text(headers.get("error")),
            origin_exchange=_text(headers.get("origin_exchange")),
            origin_routing_key=_text(headers.get("origin_routing_key")),
            attempts=_whole(headers.get("attempts")),
            failed_at=_moment(headers.get("failed_at")),
        )

    def thing(self, now: datetime) -> dict[str, Any]:
        """As it is printed."""
        failed_at = self.failed_at
        return {
            "key": self.key,
            "type": self.type,
            "reason": self.reason,
            "age_s": None if failed_at is None else round((now - failed_at).total_seconds()),
            "attempts": self.attempts,
            "message_id": self.message_id,
            "error": redacted(self.error),
            "origin_exchange": self.origin_exchange,
            "origin_routing_key": self.origin_routing_key,
            "failed_at": None if failed_at is None else format_time(failed_at),
        }


def key_of(message: Incoming) -> str:
    """Ten hexadecimal digits."""
    parts = (
        message.message_id,
        message.type,
        message.headers.get("failed_at"),
        message.headers.get("reason"),
    )
    head = json.dumps([str(part) for part in parts]).encode()
    return hashlib.sha256(head + message.body).hexdigest()[:KEY_LENGTH]


def check_choice(keys: Sequence[str], *, everything: bool) -> None:
    """Either some or all. Raises CommandFailed."""
    if everything == bool(keys) or not all(keys):
        raise usage("say which: keys of `june dead list`, or --all")


def chosen(letters: Sequence[Incoming], keys: Sequence[str], *, everything: bool) -> list[int]:
    """The places of those that are meant, by key, the beginning of one, or message id. Raises CommandFailed."""
    if everything:
        return list(range(len(letters)))
    found = [_places(letters, key) for key in keys]
    return sorted({place for places in found for place in places})


def _places(letters: Sequence[Incoming], key: str) -> list[int]:
    keys = [key_of(letter) for letter in letters]
    places = [
        place
        for place, letter in enumerate(letters)
        if keys[place].startswith(key) or letter.message_id == key
    ]
    if not places:
        raise CommandFailed(
            ExitCode.REFUSED,
            "not_found",
            f"no dead letter {key}",
            hint="`june dead list` shows them; one that somebody else looks at now is not seen",
        )
    if len({keys[place] for place in places if letters[place].message_id != key}) > 1:
        raise usage(f"{key} is the beginning of several keys: give more of it")
    return places


def readable_body(body: bytes) -> Any:
    """The body as JSON with tokens masked; else as text."""
    try:
        return _masked(json.loads(body))
    except (ValueError, RecursionError):
        return redacted(body.decode("utf-8", "replace"))


def age(seconds: float | None) -> str | None:
    """`3 s`, `12 min`, `5 h`, `9 d`."""
    if seconds is None:
        return None
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length_s:
            return f"{int(seconds // length_s)} {unit}"
    return f"{int(seconds)} s"


def _masked(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: _MASK if name in _SECRET_FIELDS and inner else _masked(inner)
                for name, inner in value.items()
            }
        case list():
            return [_masked(inner) for inner in value]
        case str():
            return redacted(value)
        case _:
            return value


def headers_of(message: Incoming) -> Mapping[str, Any]:
    """All headers, as text where JSON has no such type."""
    return {
        name: value if isinstance(value, str | int | float | bool | None) else str(value)
        for name, value in message.headers.items()
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: object) -> datetime | None:
    milliseconds = _whole(value)
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
