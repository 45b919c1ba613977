"""Everything that is measured, running: June's ingress and worker, and the yardsticks, on one broker.

Each has a vhost of its own, so that nobody takes another's messages: the ingress whose events nobody takes, the worker
with an ingress in front of it, the raw loop.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.calls import API_KEY, API_SECRET
from benchmarks.children import Child
from benchmarks.plan import Plan
from benchmarks.vhosts import make_topology
from deploy.servers import RabbitMQ, free_port

_LIVEKIT: Final = {"LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": API_SECRET}
_QUIET: Final = {
    # There is no LiveKit: the rooms are in the webhooks alone, and a comparison would find all of them gone.
    "LIVEKIT_WS_URL": "ws://127.0.0.1:1",
    "JUNE_RECONCILE_INTERVAL_S": "3600",
    # The jobs of these calls end before anybody takes them; no lease runs out in the middle of a later round.
    "JUNE_JOB_LEASE_S": "3600",
}
_HANDLED: Final = re.compile(
    rb'^june_worker_messages_total\{kind="room",result="(\w+)"\} (\S+)$', re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """`python -m webhook_ingress`."""

    process: Child
    port: int
    amqp_url: str


@dataclass(frozen=True, kw_only=True)
class Worker:
    """`python -m worker` on SQLite."""

    process: Child
    admin_port: int
    amqp_url: str

    def messages(self) -> dict[str, int]:
        """Messages of rooms that it is done with (acked), by how they ended."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=10) as answer:
            found = _HANDLED.findall(answer.read())
        return {result.decode(): int(float(count)) for result, count in found}


@dataclass(frozen=True, kw_only=True)
class RawLoop:
    """The worker's yardstick."""

    process: Child
    amqp_url: str

    def done_at(self) -> list[float]:
        """When each backlog was acked, on the clock of `moment_s`."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        return [float(line.split()[1]) for line in lines if line.startswith("done ")]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What runs, and where its logs and databases are."""

    folder: Path
    bare_port: int
    bare: Child
    alone: Ingress
    """Its events stay in the queues."""
    front: Ingress
    """Its events are the worker's."""
    worker: Worker
    raw: RawLoop


@contextmanager
def set_up(rabbitmq: RabbitMQ, plan: Plan, folder: Path) -> Iterator[Stage]:
    """All of it, ready, for the time of the block. Raises `BenchFailed`."""
    with ExitStack() as stack:

        def started(child: Child) -> Child:
            stack.callback(child.stop)
            return child

        def vhost() -> str:
            url = rabbitmq.new_vhost()
            stack.callback(rabbitmq.delete_vhost, url)
            return url

        bare_port = free_port()
        bare = started(Child("bare_http", "benchmarks.subjects.bare_http", bare_port, folder=folder))
        alone = _ingress("ingress_alone", vhost(), folder, started)
        june = vhost()
        worker = _worker(june, folder, started)
        front = _ingress("ingress_front", june, folder, started)
        raw = _raw_loop(vhost(), plan, folder, started)
        for child, ready in (
            (bare, "Running on"),
            (alone.process, "ingress.ready"),
            (front.process, "ingress.ready"),
            (worker.process, "worker.ready"),
            (raw.process, "ready"),
        ):
            child.wait_for(ready)
        yield Stage(
            folder=folder,
            bare_port=bare_port,
            bare=bare,
            alone=alone,
            front=front,
            worker=worker,
            raw=raw,
        )


def _ingress(name: str, url: str, folder: Path, started: Callable[[Child], Child]) -> Ingress:
    port = free_port()
    env = {
        **_LIVEKIT,
        "JUNE_AMQP_URL": url,
        "JUNE_INGRESS_PORT": str(port),
        "JUNE_ADMIN_PORT": "0",
        "JUNE_SPOOL_DIR": str(folder / f"{name}-spool"),
    }
    process = started(Child(name, "webhook_ingress", folder=folder, env=env))
    return Ingress(process=process, port=port, amqp_url=url)


def _worker(url: str, folder: Path, started: Callable[[Child], Child]) -> Worker:
    port = free_port()
    env = {
        **_LIVEKIT,
        **_QUIET,
        "JUNE_AMQP_URL": url,
        "JUNE_DATABASE_URL": f"sqlite:///{folder / 'june.db'}",
        "JUNE_ADMIN_PORT": str(port),
    }
    return Worker(
        process=started(Child("worker", "worker", folder=folder, env=env)), admin_port=port, amqp_url=url
    )


def _raw_loop(url: str, plan: Plan, folder: Path, started: Callable[[Child], Child]) -> RawLoop:
    make_topology(url)
    child = Child("raw_loop", "benchmarks.subjects.raw_loop", url, plan.backlog_events, folder=folder)
    return RawLoop(process=started(child), amqp_url=url)
