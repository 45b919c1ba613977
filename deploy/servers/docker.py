"""Servers in containers, where a Docker engine answers.

testcontainers removes what a killed run leaves. Ports are chosen by us, so that they stay over a restart.
"""

import contextlib
import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from deploy.servers.processes import LOOK_EVERY_S, START_WITHIN, ServerError
from deploy.servers.progress import Progress, step

ANSWER_WITHIN_S = 3
ON_LINUX = sys.platform == "linux"


@functools.cache
def engine_answers() -> bool:
    """Whether there is a Docker engine where `DOCKER_HOST` says, else at the usual socket. Asked once."""
    place = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    try:
        if place.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as engine:
                engine.settimeout(ANSWER_WITHIN_S)
                engine.connect(place.path)
                engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in engine.recv(64)
        socket.create_connection((place.hostname or "", place.port or 2375), ANSWER_WITHIN_S).close()
    except OSError:
        return False
    return True


class ContainerServer:
    """Controls of one container."""

    def __init__(self, container: Any, ready: Callable[[], bool]) -> None:
        self._container = container
        self._ready = ready

    @property
    def pid(self) -> int:
        """As the engine's machine sees it."""
        self._container.reload()
        pid = int(self._container.attrs["State"]["Pid"])
        if not pid:
            raise ServerError(f"{self._container.name} is not running")
        return pid

    def check(self) -> None:
        self._container.reload()
        if self._container.status == "exited":
            raise self._failure("has ended")

    def kill(self) -> None:
        self._container.kill()
        self._container.wait()

    def stop(self) -> None:
        self._container.stop()

    def start_again(self) -> None:
        self._container.start()
        self.wait_until_ready()

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        self._container.unpause()

    def wait_until_ready(self) -> None:
        """Raises ServerError with the container's last words."""
        deadline = time.monotonic() + START_WITHIN.total_seconds()
        while not self._ready():
            self._container.reload()
            if self._container.status == "exited" or time.monotonic() > deadline:
                raise self._failure("did not start")
            time.sleep(LOOK_EVERY_S)

    def _failure(self, what: str) -> ServerError:
        tail = self._container.logs(tail=25).decode(errors="replace")
        return ServerError(f"{self._container.name} {what}; its log ends:\n{tail}")


@contextlib.contextmanager
def container(
    image: str,
    *,
    env: Mapping[str, str] | None = None,
    command: str | None = None,
    tcp: Mapping[int, int] | None = None,
    udp: Mapping[int, int] | None = None,
    host_network: bool = False,
    ready: Callable[[], bool],
    progress: Progress,
) -> Iterator[ContainerServer]:
    """A container that answers. `tcp` and `udp` map ports here to ports inside."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only where there is an engine

    described: Any = DockerContainer(image)
    for name, value in (env or {}).items():
        described = described.with_env(name, value)
    if command is not None:
        described = described.with_command(command)
    if host_network:
        described = described.with_kwargs(network_mode="host")
    else:
        described.ports |= {f"{inside}/tcp": ("127.0.0.1", here) for here, inside in (tcp or {}).items()}
        described.ports |= {f"{inside}/udp": ("127.0.0.1", here) for here, inside in (udp or {}).items()}
    with contextlib.ExitStack() as stack:
        with step(f"{image} in Docker", progress):
            stack.enter_context(described)
            controls = ContainerServer(described.get_wrapped_container(), ready)
            controls.wait_until_ready()
        yield controls
