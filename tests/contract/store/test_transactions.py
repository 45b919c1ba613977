"""Units of work: all or nothing, each for itself, in order, fenced."""

import asyncio
from collections.abc import Callable

import pytest

from tests.contract.store.conftest import NewStore
from tests.contract.store.samples import NOW, ROOM, counted, message, participant, session
from worker.application.failures import Conflict, StoreUnavailable
from worker.application.ports import Store, Transaction
from worker.domain.model import Session, State


class Odd(Exception):
    """What a work may raise."""


def count(tx: Transaction) -> int:
    """Take the next sequence number of the session; returns it."""
    known = tx.session("s1")
    assert known is not None
    before, after = counted(known)
    tx.save(before, after)
    return known.sequence + 1


def mark(message_id: str) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        tx.mark_seen(message_id, NOW)
        return message_id

    return work


def mark_and_fail(tx: Transaction) -> str:
    tx.mark_seen("failed", NOW)
    tx.put_outbox([message()])
    raise Odd


async def seen(store: Store, *message_ids: str) -> list[bool]:
    return await store.run(lambda tx: [tx.seen(message_id) for message_id in message_ids])


async def create(store: Store) -> Session:
    await store.run(lambda tx: tx.save(State(), State(session=session())))
    found = await store.run(lambda tx: tx.session("s1"))
    assert found is not None
    return found


async def test_a_work_that_raises_changes_nothing(store: Store) -> None:
    """What a work wrote before it raised is gone, and its exception comes out."""
    with pytest.raises(Odd):
        await store.run(mark_and_fail)
    assert await seen(store, "failed") == [False]
    assert await store.run(lambda tx: tx.outbox_of("c1")) == []


async def test_a_failure_in_a_group_touches_nobody_else(store: Store) -> None:
    """Of three works the middle one fails: its exception has its place, the others are committed."""
    results = await store.run_many([mark("a"), mark_and_fail, mark("b")])
    assert results[0] == "a"
    assert isinstance(results[1], Odd)
    assert results[2] == "b"
    assert await seen(store, "a", "failed", "b") == [True, False, True]


async def test_a_refused_value_in_a_group_touches_nobody_else(store: Store) -> None:
    """A value that no database takes fails its own work alone."""

    def too_large(tx: Transaction) -> str:
        person = participant()
        tx.save(State(), State(participants={(ROOM, person.sid): person}))
        tx.put_outbox([message("\ud800")])
        return "never"

    results = await store.run_many([mark("a"), too_large, mark("b")])
    assert [results[0], results[2]] == ["a", "b"]
    assert isinstance(results[1], Exception)
    assert await seen(store, "a", "b") == [True, True]
    assert await store.run(lambda tx: tx.live_participants(ROOM)) == []


async def test_works_see_those_before_them(store: Store) -> None:
    """Works of one call run in order, each on what the ones before it left."""
    await create(store)
    assert await store.run_many([count] * 5) == [1, 2, 3, 4, 5]
    assert await store.run_many([]) == []


async def test_a_message_is_marked_once(store: Store) -> None:
    """The second time, in the same transaction or a later one, is told, and changes nothing."""

    def twice(tx: Transaction) -> tuple[bool, bool]:
        return tx.mark_seen("m", NOW), tx.mark_seen("m", NOW)

    assert await store.run(twice) == (True, False)
    assert await store.run(twice) == (False, False)
    assert await seen(store, "m", "n") == [True, False]


async def test_two_workers_handle_a_message_once(new_store: NewStore) -> None:
    """The same message in two workers at the same moment: one handles it, the other finds that it was seen."""
    first, second = await new_store(), await new_store()
    for number in range(20):
        key = f"m{number}"

        def handle(tx: Transaction, key: str = key) -> bool:
            return tx.mark_seen(key, NOW)

        assert sorted(await asyncio.gather(first.run(handle), second.run(handle))) == [False, True]


async def test_a_stale_write_is_refused_whole(store: Store) -> None:
    """A write on a state that is not the newest raises Conflict, and none of its rows is there."""
    stale = await create(store)
    await store.run(count)
    person = participant()
    after = State(session=stale, participants={(ROOM, person.sid): person})
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.save(State(session=stale), after))
    assert await store.run(lambda tx: tx.live_participants(ROOM)) == []


async def test_a_taken_id_or_room_name_is_a_conflict(store: Store) -> None:
    """A new session with an id or a live room name that is taken is refused."""
    await create(store)
    for taken in (session("s1", room_name="free"), session("s2", room_name="room of s1")):
        with pytest.raises(Conflict):
            await store.run(lambda tx, taken=taken: tx.save(State(), State(session=taken)))  # type: ignore[misc]


async def test_a_conflict_runs_the_work_again_before_those_behind_it(store: Store) -> None:
    """A work that meets a conflict is run again on fresh state, and the works behind it wait for it."""
    stale = await create(store)
    await store.run(count)
    states: list[Session | None] = [stale, None]

    def at_first_stale(tx: Transaction) -> int:
        known = states.pop(0) or tx.session("s1")
        assert known is not None
        tx.save(*counted(known))
        return known.sequence + 1

    assert await store.run_many([count, at_first_stale, count]) == [2, 3, 4]
    assert states == []


async def test_a_conflict_that_stays_is_given_up(store: Store) -> None:
    """A work that conflicts each time is run with its group, then six times; then its Conflict is its result."""
    stale = await create(store)
    await store.run(count)
    runs: list[int] = []

    def always_stale(tx: Transaction) -> int:
        runs.append(1)
        tx.save(*counted(stale))
        return 0

    results = await store.run_many([count, always_stale, count])
    assert [results[0], results[2]] == [2, 3]
    assert isinstance(results[1], Conflict)
    assert len(runs) == 1 + 6


async def test_no_write_of_two_workers_is_lost(new_store: NewStore) -> None:
    """Eighty single and grouped changes of one session by two workers: each takes a number of its own."""
    first, second = await new_store(), await new_store()
    await create(first)
    singles = [store.run(count) for store in (first, second) for _ in range(8)]
    groups = [store.run_many([count] * 16) for store in (first, second, first, second)]
    grouped = await asyncio.gather(*groups, *singles)
    numbers: list[int] = []
    for result in grouped:
        numbers += result if isinstance(result, list) else [result]  # type: ignore[list-item]
    assert sorted(numbers) == list(range(1, 81))


async def test_a_cancelled_waiter_disturbs_nobody(store: Store) -> None:
    """Of many waiters one is cancelled; the others get their results, and the store goes on."""
    await create(store)
    waiters = [asyncio.create_task(store.run(count)) for _ in range(10)]
    await asyncio.sleep(0)
    waiters[3].cancel()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    assert all(isinstance(result, int) for number, result in enumerate(results) if number != 3)
    await store.check()


async def test_a_crashed_thread_is_an_outage(store: Store) -> None:
    """When a thread of the store dies, its waiter, and whoever comes later, gets StoreUnavailable and never hangs."""

    def die(tx: Transaction) -> None:
        raise SystemExit

    with pytest.raises(StoreUnavailable, match="crashed"):
        await store.run(die)
    with pytest.raises(StoreUnavailable, match="crashed"):
        await store.run(count)
    with pytest.raises(StoreUnavailable):
        await store.check()


async def test_a_closed_store_takes_no_work(store: Store) -> None:
    """After close, which may be repeated, every call is refused; what was given before is finished."""
    await create(store)
    last = asyncio.create_task(store.run(count))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert await last == 1
    with pytest.raises(StoreUnavailable):
        await store.run(count)
