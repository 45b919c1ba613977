"""Where a broker is: an `amqp://` or `amqps://` URL, taken apart. The password is never in a `repr`."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit


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
        parts = urlsplit(url)
        if parts.scheme not in {"amqp", "amqps"}:
            raise ValueError("the broker's URL begins with amqp:// or amqps://")
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        tls = parts.scheme == "amqps"
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=_port(parts.netloc) or (5671 if tls else 5672),
            vhost=unquote(parts.path[1:]) or "/",
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


def _port(netloc: str) -> int | None:
    _, colon, port = netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")
    if not colon or not port:
        return None
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("the port of the broker's URL is a number from 1 to 65535")
    return int(port)
