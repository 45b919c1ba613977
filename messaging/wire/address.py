"""Where a broker is: an `amqp://` or `amqps://` URL, taken apart. The password is never in a `repr`."""

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

OPTIONS: Final = ("heartbeat", "connection_timeout", "cafile", "cacertfile", "certfile", "keyfile")
"""The URL's options. `cafile` is what Python's clients call RabbitMQ's `cacertfile`."""
_MAX_VHOST: Final = 127
_MAX_HEARTBEAT_S: Final = 65_535
_MAX_TIMEOUT_MS: Final = 3_600_000


@dataclass(frozen=True, kw_only=True)
class Address:
    """A broker's address and credentials.

    `amqps` verifies the broker's certificate: against `?cafile=` if the URL has it, else the system's
    authorities; `?certfile=` and `?keyfile=` are our own certificate. `?heartbeat=` is in seconds,
    `?connection_timeout=` in milliseconds, as in RabbitMQ's URIs; None: whoever connects decides.
    """

    host: str
    port: int
    vhost: str
    user: str
    password: str = field(repr=False)
    tls: bool
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    heartbeat: timedelta | None = None
    connection_timeout: timedelta | None = None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ValueError, which names what is wrong and never the URL, since that holds the password."""
        parts = _split(url)
        if parts.scheme not in {"amqp", "amqps"}:
            raise ValueError("the broker's URL begins with amqp:// or amqps://")
        options = _options(parts.query)
        heartbeat_s = _number(options, "heartbeat", at_most=_MAX_HEARTBEAT_S)
        timeout_ms = _number(options, "connection_timeout", at_most=_MAX_TIMEOUT_MS)
        tls = parts.scheme == "amqps"
        return cls(
            host=_host(parts.hostname or "127.0.0.1"),
            port=_port(parts.netloc) or (5671 if tls else 5672),
            vhost=_vhost(unquote(parts.path[1:]) or "/"),
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            tls=tls,
            cafile=options.get("cafile") or options.get("cacertfile"),
            certfile=options.get("certfile"),
            keyfile=options.get("keyfile"),
            heartbeat=None if heartbeat_s is None else timedelta(seconds=heartbeat_s),
            connection_timeout=None if timeout_ms is None else timedelta(milliseconds=timeout_ms),
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS needs, or None without TLS. Raises OSError when a file is missing."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.cafile)
        if self.certfile:
            context.load_cert_chain(self.certfile, self.keyfile)
        return context

    def __str__(self) -> str:
        """`host:port/vhost`, for logs."""
        return f"{self.host}:{self.port}/{self.vhost.removeprefix('/')}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Its text quotes the part with the password.
        raise ValueError("the broker's URL cannot be taken apart") from None


def _options(query: str) -> dict[str, str]:
    """One that is not known is refused: whoever wrote it counts on it."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            # With an @ in it, it may be the rest of a password that was not percent-encoded.
            shown = "" if "@" in query else f" {name!r}"
            raise ValueError(f"unknown option{shown} in the broker's URL; there are {', '.join(OPTIONS)}")
    return options


def _number(options: dict[str, str], name: str, *, at_most: int) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= at_most):
        raise ValueError(f"the option {name} of the broker's URL is a whole number from 1 to {at_most}")
    return int(text)


def _host(name: str) -> str:
    try:
        name.encode("idna")
    except UnicodeError:
        raise ValueError("the host of the broker's URL is no name that a host can have") from None
    return name


def _vhost(name: str) -> str:
    if len(name) > _MAX_VHOST:
        raise ValueError(f"the virtual host of the broker's URL is over AMQP's {_MAX_VHOST} characters")
    return name


def _port(netloc: str) -> int | None:
    _, colon, port = netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")
    if not colon or not port:
        return None
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("the port of the broker's URL is a number from 1 to 65535")
    return int(port)
