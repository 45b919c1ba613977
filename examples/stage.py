"""Everything that a conversation needs, started in order and ended in order: livekit-server, June's parts and the
sample services, around a RabbitMQ that is there.

Promises: each part is a process of its own, and none is left behind, however this process ends; ports are free ones,
and one that is taken in between is no error; but where LiveKit is given, the ingress listens where that one posts.
The parts' logs are in `folder`. Raises `PartFailed`.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from deploy import servers
from deploy.servers import LiveKit, Progress

ROOT = Path(__file__).resolve().parents[1]
WEBHOOK_PATH = "/api/livekit-webhooks"
START_WITHIN = timedelta(seconds=60)
STOP_WITHIN_S = 15
LOOK_EVERY_S = 0.02
TAIL_LINES = 20
TRIES_WITH_OTHER_PORTS = 3
SERVICES = ("stt_service", "ai_service", "tts_service")
INGRESS = ("JUNE_INGRESS_HOST", "JUNE_INGRESS_PORT")


class PartFailed(Exception):
    """A part did not start, or ended: which, and the end of its log."""


class Part:
    """A process, `python -m MODULE`, that is ready when its log says so."""

    def __init__(self, module: str, *, env: Mapping[str, str], says: str, folder: Path) -> None:
        self.name = module.removeprefix("examples.")
        self.log = folder / f"{self.name}.log"
        self._says = says
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(ROOT / "examples" / "guard.py"),
                    sys.executable,
                    "-m",
                    module,
                ],
                env={**_neutral_environment(), **env},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the conversation, which ends its parts in order
            )

    def wait_until_ready(self) -> None:
        """Returns when it works. Raises `PartFailed`."""
        deadline = time.monotonic() + START_WITHIN.total_seconds()
        while self._says not in self.log.read_text(errors="replace"):
            self.check()
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {START_WITHIN.total_seconds():.0f} s")
            time.sleep(LOOK_EVERY_S)

    def check(self) -> None:
        """Raises `PartFailed` when it runs no more."""
        if self._process.poll() is not None:
            raise self._failure(f"ended with {self._process.returncode}")

    def stop(self) -> int:
        """Let it drain and end: its exit code. Twice is as good as once."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(STOP_WITHIN_S)

    def _failure(self, what: str) -> PartFailed:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return PartFailed("\n  ".join((f"{self.name} {what}; its log ends:", *lines)))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where everything is. `admin_urls` are by part: `/readyz`, `/metrics`."""

    amqp_url: str
    livekit: LiveKit
    webhook_url: str
    admin_urls: Mapping[str, str]
    folder: Path
    parts: Mapping[str, Part]

    def check(self) -> None:
        """Raises `PartFailed` for a part that runs no more, `ServerError` for LiveKit."""
        for part in self.parts.values():
            part.check()
        self.livekit.check()


@contextlib.contextmanager
def set_up(
    amqp_url: str,
    folder: Path,
    *,
    database_url: str | None = None,
    given: Mapping[str, str] | None = None,
    progress: Progress = print,
) -> Iterator[Stage]:
    """A stage for the time of the block. State is in a file of the folder where no database is named.

    `given` names a LiveKit that is there, by its own settings, and where it posts (`JUNE_INGRESS_HOST`, `_PORT`).
    Raises `PartFailed`, or the servers' errors.
    """
    livekit_key = _livekit_key(given or {})
    base = {"JUNE_AMQP_URL": amqp_url, **livekit_key}
    fixed = {name: given[name] for name in INGRESS if name in given} if given else {}
    with contextlib.ExitStack() as stack:
        # Before LiveKit, which must be told where to post when it starts.
        ingress, ingress_ports = _on_free_ports(
            lambda ports: _ingress({**base, **ports, **fixed}, folder),
            "JUNE_ADMIN_PORT",
            *(() if given else ("JUNE_INGRESS_PORT",)),
        )
        stack.callback(ingress.stop)
        webhook_url = _webhook_url({**ingress_ports, **fixed})
        livekit = stack.enter_context(
            servers.livekit(
                webhook_urls=[webhook_url],
                api_key=livekit_key["LIVEKIT_API_KEY"],
                api_secret=livekit_key["LIVEKIT_API_SECRET"],
                own=not given,
                progress=progress,
            )
        )
        state = database_url or f"sqlite:///{folder / 'june.db'}"
        worker_env = {**base, "LIVEKIT_WS_URL": livekit.ws_url, "JUNE_DATABASE_URL": state}
        worker, worker_ports = _on_free_ports(
            lambda ports: _worker({**worker_env, **ports}, folder), "JUNE_ADMIN_PORT"
        )
        stack.callback(worker.stop)
        services = {name: _service(name, amqp_url, folder) for name in SERVICES}
        for service in services.values():
            stack.callback(service.stop)
        for service in services.values():
            service.wait_until_ready()
        yield Stage(
            amqp_url=amqp_url,
            livekit=livekit,
            webhook_url=webhook_url,
            admin_urls={
                "ingress": f"http://127.0.0.1:{ingress_ports['JUNE_ADMIN_PORT']}",
                "worker": f"http://127.0.0.1:{worker_ports['JUNE_ADMIN_PORT']}",
            },
            folder=folder,
            parts={"ingress": ingress, "worker": worker, **services},
        )


def _livekit_key(given: Mapping[str, str]) -> dict[str, str]:
    own = {"LIVEKIT_API_KEY": "june-sample", "LIVEKIT_API_SECRET": secrets.token_hex(24)}
    return {name: given.get(name, value) for name, value in own.items()}


def _webhook_url(ingress: Mapping[str, str]) -> str:
    host, port = ingress.get("JUNE_INGRESS_HOST", "127.0.0.1"), ingress.get("JUNE_INGRESS_PORT", "8080")
    return f"http://{host}:{port}{WEBHOOK_PATH}"


def _ingress(env: Mapping[str, str], folder: Path) -> Part:
    spool = {"JUNE_SPOOL_DIR": str(folder / "spool")}
    return Part("webhook_ingress", env={**env, **spool}, says="ingress.ready", folder=folder)


def _worker(env: Mapping[str, str], folder: Path) -> Part:
    return Part("worker", env=env, says="worker.ready", folder=folder)


def _service(name: str, amqp_url: str, folder: Path) -> Part:
    return Part(f"examples.{name}", env={"JUNE_AMQP_URL": amqp_url}, says="takes june.", folder=folder)


def _on_free_ports(
    start: Callable[[Mapping[str, str]], Part], *settings: str
) -> tuple[Part, Mapping[str, str]]:
    """A part that is ready, and its ports by setting."""
    for tries_left in reversed(range(TRIES_WITH_OTHER_PORTS)):
        ports = {name: str(servers.free_port()) for name in settings}
        part = start(ports)
        try:
            part.wait_until_ready()
        except BaseException as error:
            part.stop()
            if not (isinstance(error, PartFailed) and "address already in use" in str(error) and tries_left):
                raise
        else:
            return part, ports
    raise AssertionError("the last try returns or raises")


def _neutral_environment() -> dict[str, str]:
    """Settings of June that this process has are meant for another June."""
    ours = ("JUNE_", "LIVEKIT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
