"""RabbitMQ: a broker of this run alone, in either of the two versions that June supports, with a vhost for
whoever asks.

`3.10` is Debian 12's, `4` is Debian 13's. Where the system has the other one, it runs out of a small Debian
of that suite in the cache, in a mount namespace of its own: nothing stays mounted. Node, epmd, plugins and
data are the run's. The plugins are management, prometheus and stream.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from deploy.servers import docker, install
from deploy.servers.handles import Controlled, Controls, Given
from deploy.servers.ports import free_port
from deploy.servers.processes import Recipe, ServerError, new_directory, start
from deploy.servers.progress import Progress, step
from deploy.servers.rabbitmq_management import Management, ManagementError

Version = Literal["3.10", "4"]
VERSIONS: tuple[Version, ...] = ("3.10", "4")

SUITES: Mapping[Version, str] = {"3.10": "bookworm", "4": "trixie"}
IMAGES: Mapping[Version, str] = {"3.10": "rabbitmq:3.10-management", "4": "rabbitmq:4-management"}
PLUGINS = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_stream,rabbitmq_stream_management].\n"
SCRIPT = "usr/lib/rabbitmq/bin/rabbitmq-server"
INSIDE = "/mnt"
"""Where the run's directory is seen in the small Debian."""


@dataclass(frozen=True, kw_only=True)
class RabbitMQ(Controlled):
    """A broker. `url` is that of its default vhost; the management API is needed for vhosts."""

    url: str
    management_url: str | None

    def new_vhost(self) -> str:
        """The URL of an empty vhost with a new name."""
        name = self._management().new_vhost()
        return f"{self.url.rsplit('/', 1)[0]}/{quote(name, safe='')}"

    def delete_vhost(self, url: str) -> None:
        """With all its queues; its connections are closed. Twice is as good as once."""
        self._management().delete_vhost(urlsplit(url).path.removeprefix("/"))

    def _management(self) -> Management:
        if self.management_url is None:
            raise ManagementError(
                "the management URL of this RabbitMQ is not known: give JUNE_RABBITMQ_MANAGEMENT_URL"
            )
        parts = urlsplit(self.url)
        return Management(self.management_url, parts.username or "guest", parts.password or "guest")


@dataclass(frozen=True, kw_only=True)
class _Ports:
    amqp: int
    management: int
    prometheus: int
    stream: int
    distribution: int
    epmd: int

    @classmethod
    def free(cls) -> "_Ports":
        names = ("amqp", "management", "prometheus", "stream", "distribution", "epmd")
        return cls(**{name: free_port() for name in names})

    def config(self) -> str:
        return "\n".join(
            (
                f"listeners.tcp.1 = 127.0.0.1:{self.amqp}",
                f"stream.listeners.tcp.1 = 127.0.0.1:{self.stream}",
                "management.tcp.ip = 127.0.0.1",
                f"management.tcp.port = {self.management}",
                "prometheus.tcp.ip = 127.0.0.1",
                f"prometheus.tcp.port = {self.prometheus}",
                "log.file = false",
                "log.console = true",
                "",
            )
        )


def chosen_versions() -> tuple[Version, ...]:
    """Those that tests run on: both, or the ones that JUNE_TEST_RABBITMQ names (`4`, or `3.10,4`)."""
    named = os.environ.get("JUNE_TEST_RABBITMQ")
    wanted = set(named.split(",")) if named else set(VERSIONS)
    if unknown := wanted - set(VERSIONS):
        raise ServerError(f"JUNE_TEST_RABBITMQ: no such version: {', '.join(sorted(unknown))}")
    return tuple(version for version in VERSIONS if version in wanted)


def prepare(version: Version | None = None, progress: Progress = print) -> None:
    """Installs what is missing, so that a later start takes seconds."""
    if given_url(version) is None and not docker.engine_answers():
        _root(version, progress)


def given_url(version: Version | None) -> str | None:
    """The broker that the environment names: JUNE_AMQP_URL; for a version JUNE_TEST_RABBITMQ_310_URL or
    …_4_URL.
    """
    return os.environ.get(_variable(version)) or None


def _variable(version: Version | None) -> str:
    return "JUNE_AMQP_URL" if version is None else f"JUNE_TEST_RABBITMQ_{version.replace('.', '')}_URL"


def handed_over(server: RabbitMQ, version: Version) -> dict[str, str]:
    """The environment by which another process is given this broker."""
    name = _variable(version)
    return {name: server.url, name.replace("_URL", "_MANAGEMENT_URL"): server.management_url or ""}


@contextlib.contextmanager
def rabbitmq(
    version: Version | None = None, *, own: bool = False, progress: Progress = print
) -> Iterator[RabbitMQ]:
    """A broker for the time of the block; without a version, the one that is nearest at hand.

    `own`: never a given one, so that it may be killed.
    """
    url = None if own else given_url(version)
    if url is not None:
        yield _given(url, version)
    elif docker.engine_answers():
        with _in_docker(version or "4", progress) as server:
            yield server
    else:
        with _native(version, progress) as server:
            yield server


def _given(url: str, version: Version | None) -> RabbitMQ:
    named = (
        "JUNE_RABBITMQ_MANAGEMENT_URL"
        if version is None
        else _variable(version).replace("_URL", "_MANAGEMENT_URL")
    )
    management_url = os.environ.get(named) or f"http://{urlsplit(url).hostname}:15672"
    return _handle(url, management_url, "given", Given())


def _handle(url: str, management_url: str | None, origin: str, controls: Controls) -> RabbitMQ:
    known = RabbitMQ(url=url, management_url=management_url, version="", origin=origin, controls=controls)
    version = known._management().version()  # noqa: SLF001 - our own class
    return RabbitMQ(url=url, management_url=management_url, version=version, origin=origin, controls=controls)


@contextlib.contextmanager
def _in_docker(version: Version, progress: Progress) -> Iterator[RabbitMQ]:
    ports = _Ports.free()
    ready = partial(_answers, ports)
    tcp = {ports.amqp: 5672, ports.management: 15672, ports.prometheus: 15692, ports.stream: 5552}
    # A loopback-only guest would see Docker's proxy as a stranger.
    env = {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-rabbit loopback_users []"}
    enable = f'echo "{PLUGINS.strip()}" > /etc/rabbitmq/enabled_plugins'
    command = f"sh -c '{enable} && exec docker-entrypoint.sh rabbitmq-server'"
    with docker.container(
        IMAGES[version], env=env, command=command, tcp=tcp, ready=ready, progress=progress
    ) as controls:
        yield _handle(_url(ports), _management_url(ports), "docker", controls)


@contextlib.contextmanager
def _native(version: Version | None, progress: Progress) -> Iterator[RabbitMQ]:
    root = _root(version, progress)
    with step(f"RabbitMQ {version_in(root)}", progress):
        ports, server = start(partial(_recipe, root))
    try:
        yield _handle(_url(ports), _management_url(ports), "native", server)
    finally:
        server.close()


def _root(version: Version | None, progress: Progress) -> Path:
    """The file system that has this version: the system's own where it fits, else a small Debian."""
    if version is None or _is(version_in(Path("/")), version) or _system_offers(version):
        install.debian_packages(("rabbitmq-server",), _system_script, progress)
        if version is None or _is(version_in(Path("/")), version):
            return Path("/")
    return install.debian_root(SUITES[version], "rabbitmq-server", progress)


def _system_script() -> Path | None:
    script = Path("/") / SCRIPT
    return script if script.exists() else None


def _system_offers(version: Version) -> bool:
    """Whether the system's own packages have it, and none is installed yet."""
    release = Path("/etc/os-release")
    return (
        _system_script() is None
        and release.exists()
        and f"VERSION_CODENAME={SUITES[version]}" in release.read_text()
    )


def version_in(root: Path) -> str:
    """The version that is installed below `root`; empty when none is."""
    found = sorted((root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    return found[-1].name.removeprefix("rabbitmq_server-") if found else ""


def installed(version: Version) -> str:
    """The exact version that would be started; empty when it is not installed yet."""
    system = version_in(Path("/"))
    return system if _is(system, version) else version_in(install.debian_root_path(SUITES[version]))


def _is(found: str, wanted: Version) -> bool:
    return re.match(rf"{re.escape(wanted)}(\.|$)", found) is not None


def _recipe(root: Path) -> tuple[Recipe, _Ports]:
    ports = _Ports.free()
    directory = new_directory("rabbitmq")
    (directory / "rabbitmq.conf").write_text(ports.config())
    (directory / "enabled_plugins").write_text(PLUGINS)
    at_home = root == Path("/")
    seen = str(directory) if at_home else INSIDE
    recipe = Recipe(
        name=f"RabbitMQ {version_in(root)}",
        command=(f"/{SCRIPT}",) if at_home else _inside(root, directory),
        env=_environment(ports, seen),
        directory=directory,
        ready=partial(_answers, ports),
    )
    return recipe, ports


def _environment(ports: _Ports, directory: str) -> dict[str, str]:
    return {
        "HOME": directory,  # the Erlang cookie
        "RABBITMQ_NODENAME": f"june{ports.amqp}@localhost",
        "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{directory}/data",
        "RABBITMQ_LOG_BASE": f"{directory}/log",
        "RABBITMQ_CONF_ENV_FILE": f"{directory}/none",  # the system's would be read otherwise
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the broker: SIGTERM is an orderly stop
    }


def _inside(root: Path, directory: Path) -> tuple[str, ...]:
    """Mounts live in a namespace of the server alone, and go with it.

    Who is not root becomes root in there by a user namespace, where the kernel lets people have them.
    """
    mounts = 'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0$3"'
    script = f'{mounts} && exec chroot "$0" "$2"'
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    namespace = ("unshare", *as_root, "--mount", "--propagation", "private")
    return (*namespace, "sh", "-c", script, str(root), str(directory), f"/{SCRIPT}", INSIDE)


def _url(ports: _Ports) -> str:
    return f"amqp://guest:guest@127.0.0.1:{ports.amqp}/"


def _management_url(ports: _Ports) -> str:
    return f"http://127.0.0.1:{ports.management}"


def _answers(ports: _Ports) -> bool:
    return Management(_management_url(ports), "guest", "guest").is_up(ports.amqp)
