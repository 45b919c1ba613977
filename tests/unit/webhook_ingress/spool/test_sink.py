"""Broker first, spool behind it: what is answered when, and in which order it arrives."""

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from messaging.confirms import PublishOutcome
from messaging.failures import (
    BrokerUnavailable,
    PublishError,
    PublishTimeout,
    Refused,
    Unroutable,
    Unsendable,
)
from messaging.message import Outgoing
from runtime.tasks import SideTasks
from tests.support.polling import until
from tests.unit.webhook_ingress.spool.disks import WatchedDisk
from webhook_ingress.sink import NotSafe, SafeSink
from webhook_ingress.spool.delivery import Delivery, Handover
from webhook_ingress.spool.log import RecordLog
from webhook_ingress.spool.spool import Spool

LIMIT = timedelta(milliseconds=250)
SOON_S = 10


def message(name: str) -> Outgoing:
    """One with this id."""
    return Outgoing(
        exchange="e",
        routing_key="k",
        body=b"{}",
        message_id=name,
        type="t",
        content_type="c",
        headers={"n": 1},
    )


@dataclass
class FakeBroker:
    """Confirms what it gets, or hangs, or fails as told."""

    arrived: list[str] = field(default_factory=list)
    failures: dict[str, PublishOutcome] = field(default_factory=dict)
    """By id."""
    down: PublishOutcome = None
    hangs: bool = False
    permits: asyncio.Semaphore | None = None
    """One for each call, if there are any."""
    sizes: list[int] = field(default_factory=list)
    """Of the calls."""
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: PublishOutcome = None

    async def publish(self, message: Outgoing, *, timeout: timedelta) -> None:
        (outcome,) = await self.publish_many([message], timeout=timeout)
        if outcome is not None:
            raise outcome

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout: timedelta) -> list[PublishOutcome]:
        self.sizes.append(len(messages))
        self.tried.set()
        if self.permits is not None:
            await self.permits.acquire()
        if self.hangs:
            try:
                async with asyncio.timeout(timeout.total_seconds()):
                    await self.goes_on.wait()
            except TimeoutError:
                return [PublishTimeout(timeout) for _ in messages]
            if self.given_up is not None:
                return [self.given_up for _ in messages]
        await asyncio.sleep(0)
        return [self._outcome(each) for each in messages]

    def give_up(self, error: PublishError) -> None:
        self.given_up = error
        self.goes_on.set()

    def _outcome(self, each: Outgoing) -> PublishOutcome:
        outcome = self.down or self.failures.get(each.message_id or "")
        if outcome is None:
            self.arrived.append(each.message_id or "")
        return outcome

    async def tried_so_often(self, calls: int) -> None:
        """With a deadline."""
        async with asyncio.timeout(SOON_S):
            while len(self.sizes) < calls:
                self.tried.clear()
                await self.tried.wait()

    def wakes(self) -> None:
        """The hang is over."""
        self.hangs, self.given_up = False, None
        self.goes_on.set()


@dataclass(kw_only=True)
class Setup:
    """A sink, and all that is behind it."""

    broker: FakeBroker
    disk: WatchedDisk
    spool: Spool
    sink: SafeSink
    handover: Handover
    repairs: list[str]

    async def put(self, *names: str) -> list[BaseException | None]:
        """All at once; None for safe."""
        return await asyncio.gather(*(self.sink.put(message(name)) for name in names), return_exceptions=True)

    async def until_arrived(self, *names: str) -> None:
        """With a deadline; the first copies, in this order."""
        await until(lambda: not self.spool.waiting)
        assert list(dict.fromkeys(self.broker.arrived)) == list(names)


@asynccontextmanager
async def running(
    folder: Path,
    *,
    limit: timedelta = LIMIT,
    max_bytes: int = 10**6,
    disk_limit: timedelta = timedelta(seconds=5),
) -> AsyncIterator[Setup]:
    """All of it, with pauses that take no time."""
    disk, broker, repairs = WatchedDisk(), FakeBroker(), list[str]()

    async def repair() -> None:
        repairs.append("repaired")
        broker.failures.clear()

    async def no_pause(_seconds: float) -> None:
        await asyncio.sleep(0.001)

    spool = Spool(RecordLog(folder / "spool", max_bytes=max_bytes, disk=disk))
    handover = Handover(limit)
    try:
        async with SideTasks() as side:
            side.start("spool", spool.write())
            side.start("delivery", Delivery(spool, broker, handover, repair=repair, sleep=no_pause).run())
            yield Setup(
                broker=broker,
                disk=disk,
                spool=spool,
                sink=SafeSink(broker, spool, handover, confirm_limit=limit, disk_limit=disk_limit),
                handover=handover,
                repairs=repairs,
            )
    finally:
        await spool.close()


async def test_a_broker_that_confirms_needs_no_disk(tmp_path: Path) -> None:
    """Nothing is written while all is well."""
    async with running(tmp_path) as setup:
        assert await setup.put("a", "b") == [None, None]
        assert setup.broker.arrived == ["a", "b"]
        assert setup.disk.calls == []


async def test_what_is_not_confirmed_in_time_is_safe_after_the_sync(tmp_path: Path) -> None:
    """And comes through when the broker wakes."""
    async with running(tmp_path) as setup:
        setup.broker.hangs = True
        assert await setup.put("a") == [None]
        assert setup.disk.calls[-1] == "sync"
        assert setup.broker.arrived == []
        setup.broker.wakes()
        await setup.until_arrived("a")


async def test_after_the_first_failure_nobody_waits_for_the_broker(tmp_path: Path) -> None:
    """Those that were on their way go to the disk with the first, those that come later go there at once."""
    async with running(tmp_path, limit=timedelta(minutes=5)) as setup:
        setup.broker.hangs = True
        flying = asyncio.create_task(setup.put("a", "b"))
        await setup.broker.tried_so_often(2)
        setup.broker.hangs = False
        setup.broker.down = PublishTimeout(LIMIT)
        async with asyncio.timeout(SOON_S):
            assert await setup.put("c") == [None]
            assert await flying == [None, None]
            assert await setup.put("d") == [None]
        setup.broker.down = None
        await setup.until_arrived("c", "a", "b", "d")


async def test_a_broker_that_fails_gets_one_copy_at_a_time(tmp_path: Path) -> None:
    """The oldest message is the probe; the others wait for its confirm."""
    async with running(tmp_path) as setup:
        setup.broker.down = BrokerUnavailable("away")
        await setup.put(*"abcdefgh")
        await setup.broker.tried_so_often(30)
        assert set(setup.broker.sizes[20:]) == {1}
        setup.broker.down = None
        await setup.until_arrived(*"abcdefgh")
        assert setup.broker.arrived == list("abcdefgh")


async def test_with_little_left_new_messages_wait_and_then_go_directly(tmp_path: Path) -> None:
    """Neither behind the disk, nor before what is in the spool."""
    async with running(tmp_path, limit=timedelta(minutes=5)) as setup:
        broker = setup.broker
        broker.down = BrokerUnavailable("away")
        await setup.put("a")
        broker.permits = asyncio.Semaphore(0)
        await broker.tried_so_often(len(broker.sizes) + 1)
        broker.down = None
        await setup.put("b")
        broker.permits.release()
        await until(lambda: setup.handover.lasts)
        written = len(setup.disk.calls)
        third = asyncio.create_task(setup.put("c"))
        broker.permits.release()
        broker.permits.release()
        async with asyncio.timeout(SOON_S):
            assert await third == [None]
        assert broker.arrived == ["a", "b", "c"]
        assert len(setup.disk.calls) == written


async def test_a_handover_that_takes_too_long_ends_on_the_disk(tmp_path: Path) -> None:
    """Messages wait for a limited time, then they are safe behind the others."""
    async with running(tmp_path, limit=timedelta(milliseconds=50)) as setup:
        setup.broker.down = BrokerUnavailable("away")
        await setup.put("a")
        setup.handover.begin()
        async with asyncio.timeout(SOON_S):
            assert await setup.put("b") == [None]
        setup.broker.down = None
        await setup.until_arrived("a", "b")


async def test_nothing_overtakes_what_is_in_the_spool(tmp_path: Path) -> None:
    """While the broker comes back under load, each that was answered before another was put arrives before it."""
    async with running(tmp_path) as setup:
        setup.broker.down = BrokerUnavailable("away")
        names = [str(number) for number in range(400)]
        for number, name in enumerate(names):
            if number == 100:
                setup.broker.down = None
            if number == 300:
                setup.broker.down = Refused("no leader")
            if number == 350:
                setup.broker.down = None
            assert await setup.put(name) == [None]
        await setup.until_arrived(*names)


async def test_under_load_it_goes_directly_again(tmp_path: Path) -> None:
    """Callers that never pause do not keep the spool from becoming empty."""
    async with running(tmp_path) as setup:
        setup.broker.down = BrokerUnavailable("away")
        await setup.put("first")
        setup.broker.down = None
        going_on = True

        async def caller(number: int) -> None:
            count = 0
            while going_on:
                await setup.put(f"{number}.{count}")
                count += 1

        async with asyncio.timeout(SOON_S), asyncio.TaskGroup() as callers:
            for number in range(20):
                callers.create_task(caller(number))
            while setup.spool.waiting:  # noqa: ASYNC110 - another thread moves it
                await asyncio.sleep(0)
            going_on = False
        written = len(setup.disk.calls)
        await setup.put("directly")
        assert len(setup.disk.calls) == written
        assert setup.broker.arrived[-1] == "directly"


async def test_a_full_spool_is_not_safe(tmp_path: Path) -> None:
    """Nor does what is new go past it; what was promised comes through, and then there is room again."""
    async with running(tmp_path, max_bytes=1000) as setup:
        setup.broker.down = BrokerUnavailable("away")
        answers = [(await setup.put(str(number)))[0] for number in range(20)]
        kept = [str(number) for number, answer in enumerate(answers) if answer is None]
        assert 0 < len(kept) < 20
        assert all(isinstance(answer, NotSafe | None) for answer in answers)
        assert await setup.spool.problem() == "the spool is full"
        setup.broker.down = None
        await setup.until_arrived(*kept)
        assert await setup.spool.problem() is None
        assert await setup.put("new") == [None]


async def test_a_disk_that_says_no_is_not_safe(tmp_path: Path) -> None:
    """It is asked again by whoever asks for readiness, and the next message is taken as soon as it can be."""
    async with running(tmp_path) as setup:
        setup.broker.down = BrokerUnavailable("away")
        assert await setup.put("a") == [None]
        setup.disk.free_bytes = 0
        (answer,) = await setup.put("b")
        assert isinstance(answer, NotSafe)
        assert await setup.spool.problem() == "the spool cannot write: No space left on device"
        setup.disk.free_bytes = 10**6
        assert await setup.spool.problem() is None
        assert await setup.put("c") == [None]
        setup.disk.sync_error = OSError(errno.EIO, "Input/output error")
        (answer,) = await setup.put("d")
        assert isinstance(answer, NotSafe)
        setup.disk.sync_error = None
        setup.broker.down = None
        await setup.until_arrived("a", "c")


async def test_a_message_that_waits_for_its_queue_gets_it_made(tmp_path: Path) -> None:
    """A queue that was deleted is declared again, and nothing is lost."""
    async with running(tmp_path) as setup:
        setup.broker.failures["a"] = Unroutable("no queue")
        assert await setup.put("a", "b") == [None, None]
        await setup.until_arrived("b", "a")
        assert setup.repairs


async def test_what_can_never_be_sent_holds_up_nothing(tmp_path: Path) -> None:
    """Directly it is refused; from the spool it is skipped, said, and its file kept."""
    async with running(tmp_path) as setup:
        setup.broker.failures["a"] = Unsendable("too long")
        (answer,) = await setup.put("a")
        assert isinstance(answer, NotSafe)
        setup.broker.down = BrokerUnavailable("away")
        assert await setup.put("a", "b") == [None, None]
        setup.broker.down = None
        await setup.until_arrived("b")
    assert len(list((tmp_path / "spool").glob("*.damaged"))) == 1


async def test_what_an_earlier_process_left_goes_first(tmp_path: Path) -> None:
    """New messages wait behind it."""
    async with running(tmp_path) as setup:
        setup.broker.down = BrokerUnavailable("away")
        await setup.put("old")
    async with running(tmp_path) as setup:
        assert await setup.put("new") == [None]
        await setup.until_arrived("old", "new")


async def test_one_sync_serves_all_that_wait(tmp_path: Path) -> None:
    """A hundred at once take a few."""
    async with running(tmp_path) as setup:
        setup.broker.down = BrokerUnavailable("away")
        names = [str(number) for number in range(100)]
        assert await setup.put(*names) == [None] * 100
        assert setup.disk.calls.count("sync") <= 5
        setup.broker.down = None
        await setup.until_arrived(*names)


@pytest.mark.parametrize("limit_s", [0.05])
async def test_a_caller_that_goes_away_takes_nothing_along(tmp_path: Path, limit_s: float) -> None:
    """Its message may be written all the same, and the next ones are safe."""
    async with running(tmp_path) as setup:
        setup.broker.hangs = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(limit_s):
                await setup.sink.put(message("gone"))
        setup.broker.wakes()
        assert await setup.put("a") == [None]
        assert setup.broker.arrived[-1] == "a"
