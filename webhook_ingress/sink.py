"""Where events are made safe: the port, and what is behind it: the broker, else the spool on this machine's disk.

Promises: `put` returns when the broker has confirmed the message, or the disk has it. While anything is in the
spool, everything new goes in behind it: so no event overtakes an earlier one, and an outage costs nobody a wait
after the first. Answers come in time: a broker that is late is not waited for.
"""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

import structlog

from messaging.failures import BrokerUnavailable, PublishError, Unsendable
from messaging.message import Outgoing
from webhook_ingress.spool.delivery import Handover, Outlet
from webhook_ingress.spool.spool import NotSpooled, Spool

log = structlog.get_logger()

CONFIRM_LIMIT: Final = timedelta(milliseconds=250)
"""Much longer than a confirm takes, and short enough that the events of this time are few: they alone wait."""
# LiveKit sends nothing else about a room while it waits for an answer: say "later" soon.
_DISK_LIMIT: Final = timedelta(seconds=1.5)


class NotSafe(Exception):
    """The message may be lost: LiveKit must send it again. A copy may have arrived all the same."""


class EventSink(Protocol):
    """Takes messages into safety."""

    async def put(self, message: Outgoing) -> None:
        """Return when the message is safe. Raises NotSafe, in time for an answer to the sender. Idempotent by id."""


class SafeSink:
    """The broker first, the spool when it does not confirm in time."""

    def __init__(
        self,
        outlet: Outlet,
        spool: Spool,
        handover: Handover,
        *,
        confirm_limit: timedelta = CONFIRM_LIMIT,
        disk_limit: timedelta = _DISK_LIMIT,
    ) -> None:
        """`handover` is the one of the delivery that empties `spool`."""
        self._outlet = outlet
        self._spool = spool
        self._handover = handover
        self._confirm_limit = confirm_limit
        self._disk_limit_s = disk_limit.total_seconds()

    async def put(self, message: Outgoing) -> None:
        """Publish and wait for the confirm; else write and wait for the disk."""
        await self._handover.passed()
        if not self._spool.waiting:
            failure = await self._published(message)
            if failure is None:
                return
            self._turn_to_spool(failure)
        await self._spooled(message)

    async def _published(self, message: Outgoing) -> PublishError | None:
        """None when the broker has it, else why it is to be spooled."""
        try:
            await self._outlet.publish(message, timeout=self._confirm_limit)
        except Unsendable as error:
            raise NotSafe(str(error)) from error
        except PublishError as error:
            return error
        return None

    def _turn_to_spool(self, why: PublishError) -> None:
        """What else is on its way to the broker need not wait for its own time to run out."""
        if not self._spool.waiting:
            log.warning("spool.begun", error=f"{type(why).__name__}: {why}")
            # Nothing of the spool is on its way now: these are all messages that came in just before.
            self._outlet.give_up(BrokerUnavailable("another waits for its confirm in vain"))

    async def _spooled(self, message: Outgoing) -> None:
        try:
            async with asyncio.timeout(self._disk_limit_s):
                await self._spool.put(message)
        except TimeoutError:
            raise NotSafe("the disk does not answer") from None
        except NotSpooled as error:
            raise NotSafe(str(error)) from error
