"""livekit-server: one node of this run alone, on loopback, that posts signed webhooks to the URLs it is
given.

The webhook URLs are fixed at the start, so their ports are chosen first (`free_port`). Nothing of it needs
the internet: no STUN, no Redis. Its keys are made for this run.
"""

import contextlib
import json
import os
import secrets
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from deploy.servers import docker, install
from deploy.servers.handles import Controlled, Given
from deploy.servers.ports import free_port
from deploy.servers.processes import Recipe, new_directory, start
from deploy.servers.progress import Progress, step

IMAGE = f"livekit/livekit-server:v{install.LIVEKIT_VERSION}"
GIVEN = ("LIVEKIT_WS_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


@dataclass(frozen=True, kw_only=True)
class LiveKit(Controlled):
    """A livekit-server and a key that signs for it."""

    ws_url: str
    http_url: str
    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """All that the server is told."""

    http_port: int = field(default_factory=free_port)
    udp_port: int = field(default_factory=free_port)
    webhook_urls: tuple[str, ...]
    api_key: str
    api_secret: str
    empty_timeout: timedelta
    departure_timeout: timedelta

    def config(self, *, bind: str = "127.0.0.1") -> str:
        """JSON, which is YAML. Unknown keys fail the start."""
        settings: dict[str, Any] = {
            "port": self.http_port,
            "bind_addresses": [bind],
            "keys": {self.api_key: self.api_secret},
            "rtc": {
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,  # else 127.0.0.1 is advertised and nobody listens
                "udp_port": self.udp_port,
                "tcp_port": 0,  # none: it would listen on every interface, on 7881 by default
                "stun_servers": ["127.0.0.1:3478"],  # else clients are sent to public ones
            },
            "room": {
                "auto_create": True,
                "empty_timeout": int(self.empty_timeout.total_seconds()),
                "departure_timeout": int(self.departure_timeout.total_seconds()),
            },
            "webhook": {
                "api_key": self.api_key,
                "urls": list(self.webhook_urls),
                "resource_url_notifier": {"max_age": "5m", "max_depth": 2000},
            },
            "api": {"enable_psrpc_for_get_list_participants": True},
        }
        if bind == "127.0.0.1":
            settings["rtc"]["ips"] = {"includes": ["127.0.0.1/32"]}
        return json.dumps(settings)

    def handle(self, controls: Any, origin: str) -> LiveKit:
        return LiveKit(
            ws_url=f"ws://127.0.0.1:{self.http_port}",
            http_url=self.http_url,
            api_key=self.api_key,
            api_secret=self.api_secret,
            version=install.LIVEKIT_VERSION,
            origin=origin,
            controls=controls,
        )

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


def prepare(progress: Progress = print) -> None:
    """Builds the binary where it is missing, so that a later start takes seconds."""
    if not is_given() and not docker.engine_answers():
        install.livekit_server(progress)


def is_given() -> bool:
    """Whether the environment names a server and its key."""
    return all(os.environ.get(name) for name in GIVEN)


@contextlib.contextmanager
def livekit(
    *,
    webhook_urls: Sequence[str],
    api_key: str = "june-dev",
    api_secret: str | None = None,
    empty_timeout: timedelta = timedelta(seconds=30),
    departure_timeout: timedelta = timedelta(seconds=2),
    own: bool = False,
    progress: Progress = print,
) -> Iterator[LiveKit]:
    """A server for the time of the block. The secret is random where none is given.

    `own`: never a given one, so that it may be killed. A given one posts webhooks where its own settings say.
    """
    if is_given() and not own:
        yield _given()
        return
    plan = partial(
        _Plan,
        webhook_urls=tuple(webhook_urls),
        api_key=api_key,
        api_secret=api_secret or secrets.token_hex(24),
        empty_timeout=empty_timeout,
        departure_timeout=departure_timeout,
    )
    if docker.engine_answers():
        with _in_docker(plan(), progress) as server:
            yield server
    else:
        with _native(plan, progress) as server:
            yield server


def _given() -> LiveKit:
    ws_url, key, secret = (os.environ[name] for name in GIVEN)
    http_url = ws_url.replace("ws", "http", 1)
    return LiveKit(
        ws_url=ws_url,
        http_url=http_url,
        api_key=key,
        api_secret=secret,
        version="unknown",
        origin="given",
        controls=Given(),
    )


@contextlib.contextmanager
def _in_docker(plan: _Plan, progress: Progress) -> Iterator[LiveKit]:
    """On Linux the host's own network, since webhook receivers listen on its loopback; elsewhere Docker
    Desktop's way.
    """
    if docker.ON_LINUX:
        config = plan.config()
    else:
        config = plan.config(bind="0.0.0.0").replace("http://127.0.0.1:", "http://host.docker.internal:")
    with docker.container(
        IMAGE,
        env={"LIVEKIT_CONFIG": config},
        tcp={plan.http_port: plan.http_port},
        udp={plan.udp_port: plan.udp_port},
        host_network=docker.ON_LINUX,
        ready=partial(_answers, plan.http_url),
        progress=progress,
    ) as controls:
        yield plan.handle(controls, "docker")


@contextlib.contextmanager
def _native(make_plan: partial[_Plan], progress: Progress) -> Iterator[LiveKit]:
    binary = str(install.livekit_server(progress))

    def recipe() -> tuple[Recipe, _Plan]:
        plan = make_plan()
        directory = new_directory("livekit")
        config = directory / "livekit.yaml"
        config.touch(mode=0o600)
        config.write_text(plan.config())
        ready = partial(_answers, plan.http_url)
        command = (binary, "--config", str(config))
        return Recipe(name="livekit-server", command=command, directory=directory, ready=ready), plan

    with step("livekit-server", progress):
        plan, server = start(recipe)
    try:
        yield plan.handle(server, "native")
    finally:
        server.close()


def is_built() -> bool:
    """Whether the native binary is at hand."""
    return install.livekit_binary().exists()


def _answers(http_url: str) -> bool:
    try:
        with urllib.request.urlopen(http_url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
