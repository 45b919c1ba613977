"""What commands touch of the outside, so that a test can give them another: environment, streams, RabbitMQ.

Promises: RabbitMQ is waited for `PATIENCE`, then the command ends with exit code 3 and a hint.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Protocol, TextIO, TypeVar

from cyclopts import Parameter

from cli.failures import CommandFailed, ExitCode
from cli.output import Output
from messaging.connection import Broker
from messaging.message import Incoming, Outgoing
from messaging.request_reply import Requester
from runtime.redaction import redacted_url
from runtime.settings import AmqpSettings, load

T = TypeVar("T")

PATIENCE = timedelta(seconds=5)
MOST_S = 1_000_000_000


class Requests(Protocol):
    """Publishes a command and gives its reply, as `messaging.request_reply.Requester` does."""

    async def request(self, command: Outgoing, *, timeout: timedelta) -> Incoming:
        """Raises RequestTimeout and the PublishErrors."""
        ...


@asynccontextmanager
async def broker_at(url: str) -> AsyncIterator[Broker]:
    """RabbitMQ for the time of the block. Raises CommandFailed."""
    broker = Broker(url, name="june cli")
    try:
        await _started(broker, url)
        yield broker
    finally:
        await broker.close()


async def _started(broker: Broker, url: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            await broker.start()
    except TimeoutError:
        raise CommandFailed(
            ExitCode.UNAVAILABLE,
            "unavailable",
            f"RabbitMQ is not there, or refuses this login or virtual host: {redacted_url(url)}",
            hint="start it (`june up --servers` brings one), or set JUNE_AMQP_URL to where it is",
        ) from None


@asynccontextmanager
async def requests_at(url: str) -> AsyncIterator[Requests]:
    """Commands by RabbitMQ, for the time of the block. Raises CommandFailed."""
    async with broker_at(url) as broker:
        requester = Requester(broker)
        requester.start()
        try:
            yield requester
        finally:
            await requester.close()


@dataclass(frozen=True, kw_only=True)
class World:
    """The outside. `requests`: opens a way to ask, by the URL of RabbitMQ."""

    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    requests: Callable[[str], AbstractAsyncContextManager[Requests]] = requests_at

    def output(self, *, as_json: bool) -> Output:
        """Where the command's results go."""
        return Output(self.out, as_json=as_json)

    def amqp_url(self) -> str:
        """Where RabbitMQ is. Raises SettingsInvalid."""
        return load(AmqpSettings, self.env).amqp_url.get_secret_value()

    def say(self, line: str) -> None:
        """A remark beside the results, to a person: on standard error."""
        self.err.write(line + "\n")
        self.err.flush()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The command's work, to its end."""
        return asyncio.run(work)


def _positive(_type: Any, value: float | None) -> None:
    if value is not None and not 0 < value <= MOST_S:
        raise ValueError(f"must be more than 0 and at most {MOST_S}")


def flag(**more: Any) -> Parameter:
    """A switch that is off unless it is said."""
    return Parameter(negative="", show_default=False, **more)


Wish = Annotated[bool | None, Parameter(n_tokens=0)]
"""`--it`, `--no-it`, or neither: then June decides. Without `n_tokens` shells would wait for a value of it."""
Positive = Parameter(validator=_positive)
"""Of a number: of seconds, or of things."""
Json = Annotated[bool, flag(name="--json", help="Print JSON lines.")]
TimeoutS = Annotated[float, Positive, Parameter(name="--timeout-s", help="Seconds to wait for June's reply.")]
