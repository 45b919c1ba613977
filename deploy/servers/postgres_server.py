"""PostgreSQL: a cluster of this run alone, with a database of its own for whoever asks.

Durable as in production (fsync stays on). Its data are owned by the user `postgres` when we are root, since
the server refuses root.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from deploy.servers import docker, install
from deploy.servers.handles import Controlled, Given
from deploy.servers.ports import free_port
from deploy.servers.processes import Recipe, ServerError, new_directory, start
from deploy.servers.progress import Progress, step

IMAGE = "postgres:15-alpine"
OWNER = "june"
ANSWER_WITHIN_S = 10
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}


@dataclass(frozen=True, kw_only=True)
class Postgres(Controlled):
    """A PostgreSQL server. `url` is that of its maintenance database."""

    url: str

    def new_database(self) -> str:
        """The URL of an empty database with a new name. Raises ServerError where its user may not make one."""
        name = f"june_{secrets.token_hex(6)}"
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise ServerError(f"PostgreSQL made no database: {error}") from error
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def drop_database(self, url: str) -> None:
        """Whoever is still connected to it is cut off. Twice is as good as once."""
        name = sql.Identifier(urlsplit(url).path.removeprefix("/"))
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def prepare(progress: Progress = print) -> None:
    """Installs what is missing, so that a later start takes seconds."""
    if given_url() is None and not docker.engine_answers():
        _binaries(progress)


def given_url() -> str | None:
    """The server that the environment names, if it does."""
    url = os.environ.get("JUNE_TEST_POSTGRES_URL") or os.environ.get("JUNE_DATABASE_URL", "")
    return url if url.startswith("postgres") else None


def handed_over(server: Postgres) -> dict[str, str]:
    """The environment by which another process is given this server."""
    return {"JUNE_TEST_POSTGRES_URL": server.url}


@contextlib.contextmanager
def postgres(*, own: bool = False, progress: Progress = print) -> Iterator[Postgres]:
    """A server for the time of the block. `own`: never a given one, so that it may be killed."""
    url = None if own else given_url()
    if url is not None:
        yield Postgres(url=url, version=_version(url), origin="given", controls=Given())
    elif docker.engine_answers():
        with _in_docker(progress) as server:
            yield server
    else:
        with _native(progress) as server:
            yield server


@contextlib.contextmanager
def _in_docker(progress: Progress) -> Iterator[Postgres]:
    port = free_port()
    env = {"POSTGRES_USER": OWNER, "POSTGRES_DB": "postgres", "POSTGRES_HOST_AUTH_METHOD": "trust"}
    url = _url(port)
    ready = partial(_answers, url)
    with docker.container(IMAGE, env=env, tcp={port: 5432}, ready=ready, progress=progress) as controls:
        yield Postgres(url=url, version=_version(url), origin="docker", controls=controls)


@contextlib.contextmanager
def _native(progress: Progress) -> Iterator[Postgres]:
    binaries = _binaries(progress)
    with step("PostgreSQL", progress):
        url, server = start(partial(_recipe, binaries))
    try:
        yield Postgres(url=url, version=_version(url), origin="native", controls=server)
    finally:
        server.close()


def _recipe(binaries: Path) -> tuple[Recipe, str]:
    port = free_port()
    user = "postgres" if os.geteuid() == 0 else None
    directory = new_directory("postgres", owner=user)
    data = directory / "data"
    _initdb(binaries, data, user)
    url = _url(port)
    settings = tuple(f"--{name}={value}" for name, value in SETTINGS.items())
    recipe = Recipe(
        name="PostgreSQL",
        command=(str(binaries / "postgres"), "-D", str(data), "-p", str(port), *settings),
        directory=directory,
        user=user,
        end_signal=signal.SIGQUIT,  # at once, and unlike SIGKILL it gives its shared memory back
        stop_signal=signal.SIGINT,
        ready=partial(_answers, url),
    )
    return recipe, url


def _initdb(binaries: Path, data: Path, user: str | None) -> None:
    options = ("-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    done = subprocess.run(
        (binaries / "initdb", "-D", data, *options),
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd=data.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        shutil.rmtree(data.parent, ignore_errors=True)
        raise ServerError(f"initdb ended with {done.returncode}: {done.stderr.strip()}")


def _binaries(progress: Progress) -> Path:
    return install.debian_packages(("postgresql",), _installed_binaries, progress)


def _installed_binaries() -> Path | None:
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    found = newest[-1] if newest else Path(on_path) if on_path else None
    return found.parent if found else None


def installed() -> str:
    """The version that would be started; empty when none is installed."""
    binaries = _installed_binaries()
    if binaries is None:
        return ""
    said = subprocess.run(
        (binaries / "postgres", "--version"), check=True, capture_output=True, text=True
    ).stdout
    return said.split()[2]


def _url(port: int) -> str:
    return f"postgresql://{OWNER}@127.0.0.1:{port}/postgres"


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _version(url: str) -> str:
    try:
        with psycopg.connect(url, connect_timeout=ANSWER_WITHIN_S) as connection:
            return connection.info.parameter_status("server_version") or "unknown"
    except psycopg.Error as error:
        raise ServerError(f"PostgreSQL cannot be used: {error}") from error
