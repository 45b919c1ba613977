"""The real servers, as tests are given them."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.servers import LiveKit, NotOursError, Postgres, RabbitMQ, RabbitMQVersion, postgres
from deploy.servers.handles import Controlled
from deploy.servers.keeper import descendants
from deploy.servers.rabbitmq_server import version_in
from tests.conftest import StartLiveKit
from tests.integration.servers.toys import lives
from tests.support.polling import wait_until

START_AND_WAIT = """
import sys
from deploy.servers import rabbitmq
from deploy.servers.keeper import descendants
with rabbitmq(sys.argv[1], own=True, progress=lambda line: None) as server:
    print(server.pid, *descendants(server.controls._keeper.pid), flush=True)
    sys.stdin.read()
"""

LISTENING = "0A"


def listening(server: Controlled) -> set[tuple[str, int]]:
    """The addresses (in hex, as the kernel has them) and TCP ports that a server of this run listens on."""
    inodes = set()
    for pid in [server.pid, *descendants(server.pid)]:
        with contextlib.suppress(OSError):  # a backend that ends meanwhile
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):  # a file that is closed meanwhile
                    inodes.add(link.readlink().name)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = fields = line.split()
            if state == LISTENING and f"socket:[{fields[9]}]" in inodes:
                address, port = local.split(":")
                found.add((address, int(port, 16)))
    return found


def assert_on_loopback(server: Controlled) -> None:
    ports = listening(server)
    assert ports
    assert {address for address, _ in ports} == {"0100007F"}
    assert all(port < 32768 for _, port in ports)


def test_version(rabbitmq_server: RabbitMQ, rabbitmq_version: RabbitMQVersion) -> None:
    """A test of RabbitMQ runs on the version that it was promised."""
    assert f"{rabbitmq_server.version}.".startswith(f"{rabbitmq_version}.")


def test_vhosts(rabbitmq_server: RabbitMQ) -> None:
    """Each vhost is a new one, and is gone when it is deleted, once or twice."""
    first, second = rabbitmq_server.new_vhost(), rabbitmq_server.new_vhost()
    assert first != second
    for _ in range(2):
        rabbitmq_server.delete_vhost(first)
    names = {vhost["name"] for vhost in rabbitmq_server._management().call("GET", "vhosts")}
    assert urlsplit(second).path[1:] in names
    assert urlsplit(first).path[1:] not in names
    rabbitmq_server.delete_vhost(second)


def test_broker_outage(own_rabbitmq: RabbitMQ) -> None:
    """A broker of one's own listens on loopback only; killed or stopped, it comes back with its vhosts."""
    assert_on_loopback(own_rabbitmq)
    vhost = urlsplit(own_rabbitmq.new_vhost()).path[1:]
    for end in (own_rabbitmq.kill, own_rabbitmq.stop):
        end()
        assert not own_rabbitmq._management().is_up(urlsplit(own_rabbitmq.url).port or 0)
        own_rabbitmq.start_again()
        assert vhost in {known["name"] for known in own_rabbitmq._management().call("GET", "vhosts")}


def test_killed_run_leaves_no_broker(rabbitmq_version: RabbitMQVersion) -> None:
    """kill -9 of a run ends its broker, and the epmd that outlives brokers."""
    command = [sys.executable, "-c", START_AND_WAIT, rabbitmq_version]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        broker, *others = map(int, run.stdout.readline().split())
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in [broker, *others]}
        assert {"beam.smp", "epmd"} <= names
        run.kill()
    wait_until(lambda: not any(map(lives, [broker, *others])))


def test_databases(postgres_server: Postgres, postgres_url: str) -> None:
    """Each database is a new, empty one, and is dropped although somebody is still connected."""
    other = postgres_server.new_database()
    assert other != postgres_url
    with psycopg.connect(other) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
        connection.commit()
        postgres_server.drop_database(other)
        postgres_server.drop_database(other)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(other)


def test_database_outage(own_postgres: Postgres) -> None:
    """A PostgreSQL of one's own listens on loopback only; what was committed outlives a kill and a stop."""
    assert_on_loopback(own_postgres)
    url = own_postgres.new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
    for end in (own_postgres.kill, own_postgres.stop):
        end()
        own_postgres.start_again()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_given_server(own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that the environment names is used, and never stopped; SQLite's URL names none."""
    monkeypatch.setenv("JUNE_TEST_POSTGRES_URL", own_postgres.url)
    with postgres() as given:
        assert (given.url, given.origin, given.version) == (own_postgres.url, "given", own_postgres.version)
        for control in (given.kill, given.stop, given.start_again, given.pause, given.resume):
            with pytest.raises(NotOursError):
                control()
    assert own_postgres.new_database()


def test_livekit(start_livekit: StartLiveKit) -> None:
    """A livekit-server listens on loopback only, and after a kill it comes back on the same port."""
    server = start_livekit("http://127.0.0.1:9/nobody")
    assert_on_loopback(server)
    server.kill()
    server.start_again()
    with urllib.request.urlopen(server.http_url) as answer:
        assert answer.read() == b"OK"


def test_livekit_secret(livekit: LiveKit) -> None:
    """A handle does not print its secret."""
    assert len(livekit.api_secret) >= 32
    assert livekit.api_secret not in repr(livekit)
    assert json.dumps(livekit.ws_url).startswith('"ws://127.0.0.1:')


def test_version_of_nothing(tmp_path: Path) -> None:
    """A file system without RabbitMQ has no version of it."""
    assert version_in(tmp_path) == ""
