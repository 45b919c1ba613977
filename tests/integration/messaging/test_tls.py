"""`amqps://`: the broker must be who it says it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from messaging.connection import Broker
from messaging.publisher import Publisher
from tests.integration.messaging.tools import SOON, connected, drained, message
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy


def certified(folder: Path, address: str) -> tuple[Path, Path]:
    """A self-signed certificate for an address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a broker of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    where, key_file = folder / f"{address}.pem", folder / f"{address}.key"
    where.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return where, key_file


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """That of the broker at 127.0.0.1."""
    return certified(tmp_path, "127.0.0.1")[0]


@pytest.fixture
async def tls_url(amqp_url: str, certificate: Path) -> AsyncIterator[str]:
    """The broker behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    async with TcpProxy.before(amqp_url, tls=context) as proxy:
        yield proxy.url(amqp_url).replace("amqp://", "amqps://")


async def test_a_broker_with_a_certificate_that_we_know(
    tls_url: str, amqp_url: str, certificate: Path
) -> None:
    """`?cafile=` names who may vouch for it; messages of many frames get through."""
    async with connected(f"{tls_url}?cafile={certificate}") as broker:
        publisher = Publisher(broker)
        await publisher.publish(message("small"), timeout=SOON)
        await publisher.publish(message("large", body=b"x" * 3_000_000), timeout=SOON)
    assert await drained(amqp_url) == ["small", "large"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "CERTIFICATE_VERIFY_FAILED"),
        ("?cafile={other}", "CERTIFICATE_VERIFY_FAILED"),
        ("?cafile={absent}", "No such file"),
    ],
)
async def test_a_broker_that_nobody_vouches_for_gets_no_password(
    tls_url: str, query: str, reason: str, tmp_path: Path
) -> None:
    """Authorities that do not know it, or a file that is not there: waited out, with the reason in the log."""
    other, _ = certified(tmp_path, "127.0.0.2")
    broker = Broker(tls_url + query.format(other=other, absent=tmp_path / "no"), name="test")
    with capture_logs() as logs:
        starting = asyncio.create_task(broker.start())
        await until(lambda: any(line["event"] == "broker.waiting" for line in logs))
        assert not starting.done()
        starting.cancel()
        await asyncio.wait([starting])
        await broker.close()
    (error, *_) = (line["error"] for line in logs if line["event"] == "broker.waiting")
    assert reason in error
