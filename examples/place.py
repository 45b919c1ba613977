"""Where a conversation takes place: servers that the environment names, else servers of this run.

Promises: what is done on a server that was given is done in a vhost and a database of its own, which are gone
afterwards; where a broker makes no vhost, it is said whose is used. Raises the servers' errors.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import aio_pika
from aio_pika.exceptions import AMQPError

from deploy import servers
from deploy.servers import Progress, ServerError, livekit_server
from deploy.servers.rabbitmq_management import ManagementError
from examples.stage import INGRESS

REACHED_WITHIN_S = 10


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where June's messages go. `check` raises when the broker is a process of this run and has ended."""

    amqp_url: str
    broker: str
    check: Callable[[], None]


@contextlib.contextmanager
def vhost(progress: Progress) -> Iterator[Place]:
    """One of our own, so that nothing of another run is in the way; where a broker that was given makes none, the one
    that its URL names."""
    with contextlib.ExitStack() as stack:
        try:
            rabbit = stack.enter_context(servers.rabbitmq(progress=progress))
            url = rabbit.new_vhost()
        except ManagementError as error:
            refused, given = error, os.environ.get("JUNE_AMQP_URL")
            if not given:
                raise
        else:
            if rabbit.origin == "given":
                stack.callback(rabbit.delete_vhost, url)
            yield Place(amqp_url=url, broker=f"RabbitMQ {rabbit.version}", check=rabbit.check)
            return
        asyncio.run(_reached(given))
        progress(f"{refused}\nSo the vhost of JUNE_AMQP_URL itself is used, and June's queues stay in it.")
        yield Place(amqp_url=given, broker="RabbitMQ", check=lambda: None)


async def _reached(url: str) -> None:
    """Returns when a broker takes connections there. Raises ServerError."""
    try:
        async with asyncio.timeout(REACHED_WITHIN_S):
            await (await aio_pika.connect(url)).close()
    except (AMQPError, OSError, ValueError) as error:
        place = urlsplit(url)
        reason = str(error) or type(error).__name__
        raise ServerError(
            f"RabbitMQ at {place.hostname}:{place.port or '?'} takes no connection: {reason}"
        ) from error


@contextlib.contextmanager
def database(progress: Progress) -> Iterator[str | None]:
    """One of our own on the PostgreSQL that the environment names, if it does."""
    if not os.environ.get("JUNE_DATABASE_URL", "").startswith("postgres"):
        yield None
        return
    with servers.postgres(progress=progress) as postgres:
        url = postgres.new_database()
        try:
            yield url
        finally:
            postgres.drop_database(url)


def livekit_given() -> dict[str, str] | None:
    """The settings of the LiveKit that the environment names, and where it posts, if it does."""
    if not livekit_server.is_given():
        return None
    names = (*livekit_server.GIVEN, *INGRESS)
    return {name: os.environ[name] for name in names if os.environ.get(name)}
