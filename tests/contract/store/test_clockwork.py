"""Timers, errands and answers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tests.contract.store.conftest import NewStore
from tests.contract.store.samples import NOW, SECOND
from worker.application.ports import Answer, DueTimer, ErrandKind, RoomErrand, Store, Transaction
from worker.domain.model import SessionId

CLAIM = timedelta(seconds=10)
ERRAND = RoomErrand(
    kind=ErrandKind.REMOVE_PARTICIPANT, room_name="room", identity="😀", session_id="s1", due_at=NOW
)


def timer(key: str, due_at: datetime) -> Callable[[Transaction], None]:
    return lambda tx: tx.set_timer(SessionId("s1"), "room", key, due_at)


def due(key: str, due_at: datetime) -> DueTimer:
    return DueTimer(session_id=SessionId("s1"), room_name="room", key=key, due_at=due_at)


async def taken(store: Store, now: datetime, limit: int = 10) -> list[DueTimer]:
    return list(await store.due_timers(now, limit=limit, claim=CLAIM))


async def test_a_timer_is_given_when_it_is_due(store: Store) -> None:
    """Timers are given at their moment or later, the most overdue first, and never before."""
    await store.run_many([timer("b", NOW + SECOND), timer("a", NOW), timer("c", NOW + 2 * SECOND)])
    assert await taken(store, NOW - timedelta(microseconds=1)) == []
    assert await taken(store, NOW + SECOND) == [due("a", NOW), due("b", NOW + SECOND)]


async def test_a_taken_timer_comes_back_after_the_claim(new_store: NewStore) -> None:
    """A timer that a worker took is nobody else's before the claim has passed, then it is given again."""
    first, second = await new_store(), await new_store()
    await first.run(timer("a", NOW))
    assert len(await taken(first, NOW)) == 1
    assert await taken(second, NOW + CLAIM - SECOND) == []
    assert await taken(second, NOW + CLAIM) == [due("a", NOW)]


async def test_a_done_timer_is_gone(store: Store) -> None:
    """A done timer is not given again."""
    await store.run(timer("a", NOW))
    await store.done_timer((await taken(store, NOW))[0])
    assert await taken(store, NOW + 2 * CLAIM) == []


async def test_a_timer_that_was_set_anew_survives(store: Store) -> None:
    """A timer set to a new moment while it was taken is kept, and the claim does not delay it."""
    await store.run(timer("a", NOW))
    old = (await taken(store, NOW))[0]
    await store.run(timer("a", NOW + SECOND))
    await store.done_timer(old)
    assert await taken(store, NOW + SECOND) == [due("a", NOW + SECOND)]


async def test_no_more_timers_than_asked_for(store: Store) -> None:
    """`limit` bounds what is taken; the rest is for the next call."""
    await store.run_many([timer(str(number), NOW) for number in range(5)])
    assert [len(await taken(store, NOW, limit=2)) for _ in range(4)] == [2, 2, 1, 0]


async def test_an_errand_is_kept_until_it_is_done(store: Store) -> None:
    """An errand is given when it is due, after its claim again, and no more once it is done."""
    errand_id = await store.run(lambda tx: tx.put_errand(ERRAND))
    expected = replace(ERRAND, errand_id=errand_id)
    assert await store.due_errands(NOW - SECOND, limit=5, claim=CLAIM) == []
    assert await store.due_errands(NOW, limit=5, claim=CLAIM) == [expected]
    assert await store.due_errands(NOW + SECOND, limit=5, claim=CLAIM) == []
    assert await store.due_errands(NOW + CLAIM, limit=5, claim=CLAIM) == [expected]
    assert await store.run(lambda tx: tx.errands_of_room("room")) == [expected]
    await store.done_errand(errand_id)
    await store.done_errand(errand_id)
    assert await store.run(lambda tx: tx.errands_of_room("room")) == []


async def test_an_errand_belongs_to_who_put_it_for_a_while(store: Store) -> None:
    """Nobody else is given it before that; it is in the room's list at once, with the moment at which it was due."""
    errand_id = await store.run(lambda tx: tx.put_errand(ERRAND, claim=CLAIM))
    expected = replace(ERRAND, errand_id=errand_id)
    assert await store.run(lambda tx: tx.errands_of_room("room")) == [expected]
    assert await store.due_errands(NOW + CLAIM - SECOND, limit=5, claim=CLAIM) == []
    assert await store.due_errands(NOW + CLAIM, limit=5, claim=CLAIM) == [expected]


async def test_an_errand_that_failed_is_due_again(store: Store) -> None:
    """A retried errand counts an attempt and is given at its new moment."""
    errand_id = await store.run(lambda tx: tx.put_errand(ERRAND))
    await store.due_errands(NOW, limit=5, claim=CLAIM)
    await store.retry_errand(errand_id, NOW + SECOND)
    again = await store.due_errands(NOW + SECOND, limit=5, claim=CLAIM)
    assert again == [replace(ERRAND, errand_id=errand_id, attempts=1, due_at=NOW + SECOND)]


async def test_an_answer_is_remembered(store: Store) -> None:
    """An answer comes back equal; a later one of the same key replaces it."""
    answer = Answer(key="a key", digest="d", outcome={"ok": True, "list": [1, "😀", None]}, answered_at=NOW)
    await store.run(lambda tx: tx.remember(answer))
    assert await store.run(lambda tx: tx.answer("a key")) == answer
    later = replace(answer, digest="e", outcome={}, answered_at=NOW + SECOND)
    await store.run(lambda tx: tx.remember(later))
    assert await store.run(lambda tx: tx.answer("a key")) == later
