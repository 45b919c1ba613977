"""Kinds of settings: from the text of an environment variable to a value with its unit.

Promises: each kind refuses with a ValueError that says the rule, not the value (it may be a secret).
URLs that may hold a password show it in no `repr`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Secret

from runtime.api_keys import ApiKey, read_api_keys
from runtime.keys import read_keys_file
from runtime.redaction import redacted_url

_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})
_MAX_INT = 2**63 - 1


class SecretUrl(Secret[str]):
    """A URL whose password is shown to nobody who does not ask with `get_secret_value()`."""

    def _display(self) -> str:
        return redacted_url(self.get_secret_value())


def _whole(least: int, most: int = _MAX_INT) -> Callable[[str], int]:
    limit = f" to {most}" if most < _MAX_INT else " up"

    def parse(text: str) -> int:
        # isdecimal alone would let the digits of other scripts in.
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least}{limit}")
        return int(text)

    return parse


def _seconds(text: str) -> timedelta:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not (isfinite(seconds) and 0 < seconds <= 10**9):
        raise ValueError("must be a number of seconds above 0")
    return timedelta(seconds=seconds)


def _whole_seconds(text: str) -> timedelta:
    return timedelta(seconds=_whole(1, 10**9)(text))


_AMQP_OPTIONS: Mapping[str, Callable[[str], object]] = {
    "heartbeat": _whole(1, 65_535),
    "connection_timeout": _whole(1, 3_600_000),
    "cafile": str,
    "cacertfile": str,
    "certfile": str,
    "keyfile": str,
}
"""With what each refuses."""


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise ValueError("must be true or false")
    return word in _YES


def _url(*schemes: str) -> Callable[[SecretUrl], SecretUrl]:
    rule = f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"

    def check(url: SecretUrl) -> SecretUrl:
        if not _is_url(url.get_secret_value(), schemes):
            raise ValueError(f"{rule}, with a host, and a port in digits if any")
        return url

    return check


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
        (parts.hostname or "").encode("idna")
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and port_is_fine


def _amqp_url(url: SecretUrl) -> SecretUrl:
    """One whose options mean something to June: what nobody heeds, whoever wrote it counts on."""
    query = urlsplit(_url("amqp", "amqps")(url).get_secret_value()).query
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _AMQP_OPTIONS:
            # With an @ in it, it may be the rest of a password that was not percent-encoded.
            shown = "" if "@" in query else f" {name!r}"
            raise ValueError(
                f"has an option{shown} that June does not know; there are {', '.join(_AMQP_OPTIONS)}"
            )
        try:
            _AMQP_OPTIONS[name](value)
        except ValueError as error:
            raise ValueError(f"its option {name} {error}") from None
    return url


def _database_url(url: SecretUrl) -> SecretUrl:
    if not url.get_secret_value().startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must be sqlite:///<file> or postgresql://…")
    return url


def _host(text: str) -> str:
    if not text or any(character.isspace() or character in "/@" for character in text):
        raise ValueError("must be the name or the address of a host, without a port")
    return text


def _folder(text: str) -> Path:
    if "\0" in text:
        raise ValueError("must be the path of a folder")
    return Path(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return parse


Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, BeforeValidator(_whole(0, 65535))]
Bytes = Annotated[int, BeforeValidator(_whole(1))]
Folder = Annotated[Path, BeforeValidator(_folder)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Days = Annotated[timedelta, BeforeValidator(lambda text: timedelta(days=_whole(1, 36_500)(text)))]
WholeSeconds = Annotated[timedelta, BeforeValidator(_whole_seconds)]
AmqpUrl = Annotated[SecretUrl, AfterValidator(_amqp_url)]
HttpUrl = Annotated[SecretUrl, AfterValidator(_url("http", "https"))]
LiveKitUrl = Annotated[SecretUrl, AfterValidator(_url("ws", "wss", "http", "https"))]
DatabaseUrl = Annotated[SecretUrl, AfterValidator(_database_url)]
LogFormat = Annotated[str, AfterValidator(_one_of("auto", "console", "logfmt", "json"))]
LogLevel = Annotated[str, AfterValidator(_one_of("debug", "info", "warning", "error"))]


def _keys_file(path: str) -> dict[str, str]:
    return read_keys_file(Path(path))


class KeyPairs(Secret[dict[str, str]]):
    """What a keys file holds, by key; given as the file's path."""

    def _display(self) -> str:
        return ", ".join(self.get_secret_value())


KeysFile = Annotated[KeyPairs, BeforeValidator(_keys_file)]


class ApiKeyRing(Secret[tuple[ApiKey, ...]]):
    """The keys of the HTTP API; shown by their names."""

    def _display(self) -> str:
        return ", ".join(key.name for key in self.get_secret_value())


ApiKeys = Annotated[ApiKeyRing, BeforeValidator(read_api_keys)]


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        if not _is_url(origin, ("http", "https")) or origin.count("/") != 2 or "@" in origin or "?" in origin:
            raise ValueError("must be origins such as https://app.example.org, separated by commas")
    return origins


Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
Count = Annotated[int, BeforeValidator(_whole(1, 1_000_000))]


def _trusted_url(text: str) -> str:
    """Who answers there decides who may come in: nobody on the way may answer in its place."""
    if not _is_url(text, ("http", "https")):
        raise ValueError("must be a URL that begins with https://")
    parts = urlsplit(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be a URL that begins with https://, unless it leads to this machine")
    return text


TrustedUrl = Annotated[str, AfterValidator(_trusted_url)]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
