"""Where a broker is: an `amqp://` or `amqps://` URL, taken apart. The password is never in a `repr`."""

import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_MAX_VHOST: Final = 127


@dataclass(frozen=True, kw_only=True)
class Address:
    """A broker's address and credentials.

    `amqps` verifies the broker's certificate: against `?cafile=` if the URL has it, else the system's
    authorities; `?certfile=` and `?keyfile=` are our own certificate.
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

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ValueError, which names what is wrong and never the URL, since that holds the password."""
        parts = _split(url)
        if parts.scheme not in {"amqp", "amqps"}:
            raise ValueError("the broker's URL begins with amqp:// or amqps://")
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        tls = parts.scheme == "amqps"
        return cls(
            host=_host(parts.hostname or "127.0.0.1"),
            port=_port(parts.netloc) or (5671 if tls else 5672),
            vhost=_vhost(unquote(parts.path[1:]) or "/"),
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            tls=tls,
            cafile=query.get("cafile"),
            certfile=query.get("certfile"),
            keyfile=query.get("keyfile"),
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
