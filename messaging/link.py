"""One connection that comes back: connects, prepares, waits for the loss, and begins again, until closed.

Waits for the broker as long as it takes, with a log line every few seconds that names the host and never the
password. Whoever needs the connection asks for it with a patience, and gets BrokerUnavailable after that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from messaging.failures import BrokerUnavailable
from messaging.wire.address import Address
from messaging.wire.connection import Connection, connect
from messaging.wire.errors import ConnectionLost, WireError

_CONNECT_TIMEOUT: Final = timedelta(seconds=10)
_SILENCE: Final = timedelta(seconds=1)
_ANSWER: Final = timedelta(seconds=0.7)
_LOG_EVERY: Final = timedelta(seconds=3)
_FIRST_DELAY: Final = timedelta(milliseconds=100)
_LAST_DELAY: Final = timedelta(seconds=2)

log = structlog.get_logger(__name__)

Prepare = Callable[[Connection], Awaitable[None]]


class Link:
    """Keeps one connection up. `prepare` runs on each new connection before anybody else may use it."""

    def __init__(self, address: Address, *, name: str, heartbeat: timedelta, prepare: Prepare) -> None:
        """Nothing is opened before `start`."""
        self._address = address
        self._name = name
        self._heartbeat = heartbeat
        self._prepare = prepare
        self._up = asyncio.Event()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._question: asyncio.Task[None] | None = None
        self._last_log = float("-inf")

    @property
    def connected(self) -> bool:
        """Up and prepared."""
        return self._up.is_set() and self._connection is not None and self._connection.is_open

    @property
    def blocked(self) -> str | None:
        """Why the broker takes nothing at the moment (an alarm of memory or disk), in its own words."""
        return self._connection.blocked if self._connection is not None else None

    async def trouble(self) -> str | None:
        """Why the broker cannot be used now, in a sentence; None when it can. Takes less than a second.

        One from which nothing came for a second is asked for something: the heartbeat would notice a hang much later.
        """
        if (connection := self._connection) is None or not self.connected:
            return "not connected to RabbitMQ"
        if connection.blocked is not None:
            return f"RabbitMQ takes no messages: {connection.blocked}"
        if connection.silent_s > _SILENCE.total_seconds() and not await self._answers(connection):
            return f"RabbitMQ has not answered for {connection.silent_s:.0f} s"
        return None

    async def _answers(self, connection: Connection) -> bool:
        """Whether anything comes from it now. One question at a time, however many ask and however long it takes."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(_ask(connection), name=f"amqp question {self._name}")
        await asyncio.wait({self._question}, timeout=_ANSWER.total_seconds())
        return connection.is_open and connection.silent_s <= _SILENCE.total_seconds()

    def start(self) -> None:
        """Begin to connect, in the background. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name=f"amqp link {self._name}")
            self._task.add_done_callback(self._on_done)

    async def connection(self, *, patience: timedelta | None) -> Connection:
        """The connection, waited for as long as `patience` (None: for ever). Raises BrokerUnavailable."""
        seconds = None if patience is None else patience.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._wait_up()
        except TimeoutError as error:
            raise BrokerUnavailable(f"not connected to {self._address}") from error

    async def _wait_up(self) -> Connection:
        while True:
            await self._up.wait()
            if self._connection is not None and self._connection.is_open:
                return self._connection
            # Lost in this turn of the event loop: without a pause the supervisor would never learn of it.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Say goodbye to the broker and stop. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._up.clear()
        if self._connection is not None:
            await self._connection.close()
        if self._question is not None:
            await asyncio.wait([self._question])

    async def _supervise(self) -> None:
        while True:
            self._connection = await self._connect()
            self._up.set()
            reason = await asyncio.shield(self._connection.lost)
            self._up.clear()
            log.warning("broker.lost", link=self._name, host=str(self._address), error=str(reason))

    async def _connect(self) -> Connection:
        """One that is prepared. Tries for ever, with growing pauses."""
        delay = _FIRST_DELAY
        while True:
            try:
                return await self._attempt()
            except (OSError, TimeoutError, WireError) as error:
                self._say_waiting(error)
            await asyncio.sleep(delay.total_seconds())
            delay = min(delay * 2, _LAST_DELAY)

    async def _attempt(self) -> Connection:
        connection = await connect(
            self._address,
            name=self._name,
            heartbeat=self._address.heartbeat or self._heartbeat,
            timeout=self._address.connection_timeout or _CONNECT_TIMEOUT,
        )
        connection.on_blocked = self._say_blocked
        try:
            await self._prepare(connection)
        except BaseException:
            connection.give_up(ConnectionLost("it could not be prepared"))
            raise
        log.info("broker.connected", link=self._name, host=str(self._address), server=connection.server)
        return connection

    def _say_waiting(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._last_log >= _LOG_EVERY.total_seconds():
            self._last_log = now
            words = str(error) or type(error).__name__
            log.warning("broker.waiting", link=self._name, host=str(self._address), error=words)

    def _say_blocked(self, reason: str | None) -> None:
        if reason is None:
            log.info("broker.unblocked", link=self._name)
        else:
            log.warning("broker.blocked", link=self._name, reason=reason)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._up.clear()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("broker.supervisor_died", link=self._name, exc_info=error)


async def _ask(connection: Connection) -> None:
    """Something that a broker answers at once, whatever else it does. Returns when it did, or never will."""
    with suppress(WireError, TimeoutError):
        (await connection.open_channel()).abandon("it was a question")
