"""Which servers a run would use, and how it would get them, before anything is started."""

from urllib.parse import urlsplit

from deploy.servers import docker, install, livekit_server, postgres_server, rabbitmq_server
from deploy.servers.processes import ServerError
from deploy.servers.progress import Progress


def describe(versions: tuple[rabbitmq_server.Version, ...] = rabbitmq_server.VERSIONS) -> list[str]:
    """One line a server. Connects to nothing, prints no password."""
    lines = [f"RabbitMQ {version}: {_rabbitmq(version)}" for version in versions]
    return [*lines, f"PostgreSQL: {_postgres()}", f"livekit-server: {_livekit()}"]


def prepare(names: set[str], versions: tuple[rabbitmq_server.Version, ...], progress: Progress) -> None:
    """Installs what the named servers lack (`rabbitmq`, `postgres`, `livekit`); raises InstallError."""
    if "rabbitmq" in names:
        for version in versions:
            rabbitmq_server.prepare(version, progress)
    if "postgres" in names:
        postgres_server.prepare(progress)
    if "livekit" in names:
        livekit_server.prepare(progress)


def _rabbitmq(version: rabbitmq_server.Version) -> str:
    if url := rabbitmq_server.given_url(version):
        return _given(url)
    if docker.engine_answers():
        return f"{rabbitmq_server.IMAGES[version]} in Docker"
    return _native(rabbitmq_server.installed(version))


def _postgres() -> str:
    if url := postgres_server.given_url():
        return _given(url)
    if docker.engine_answers():
        return f"{postgres_server.IMAGE} in Docker"
    return _native(postgres_server.installed())


def _livekit() -> str:
    if livekit_server.is_given():
        return "given by LIVEKIT_WS_URL"
    if docker.engine_answers():
        return f"{livekit_server.IMAGE} in Docker"
    return _native(install.LIVEKIT_VERSION if livekit_server.is_built() else "")


def _native(version: str) -> str:
    return f"{version}, a process of this run" if version else "to be installed, then a process of this run"


def _given(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ServerError(f"the URL of a {parts.scheme or 'given'} server names no host")
    return f"given, at {parts.hostname}:{parts.port or 'its usual port'}"
