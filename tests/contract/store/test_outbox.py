"""Messages wait in the outbox, in order, until the broker has confirmed them."""

import asyncio
from dataclasses import replace

from tests.contract.store.conftest import NewStore
from tests.contract.store.samples import NOW, SECOND, message
from tests.support.polling import until
from worker.adapters.sql.store import UNSENT_CLAIM
from worker.application.ports import Store


async def put(store: Store, *message_ids: str, cause: str = "c1") -> list[int]:
    messages = [message(message_id, cause=cause) for message_id in message_ids]
    return [stored.position for stored in await store.run(lambda tx: tx.put_outbox(messages))]


async def positions(store: Store, cause: str = "c1") -> list[int]:
    return [waiting.position for waiting in await store.run(lambda tx: tx.outbox_of(cause))]


async def until_left(store: Store, *expected: int) -> None:
    async def left() -> bool:
        return await positions(store) == list(expected)

    await until(left)


async def test_messages_come_back_in_order_and_equal(store: Store) -> None:
    """What one cause put comes back equal, byte for byte, with rising positions, and nothing of other causes."""
    given = [replace(message("b"), expires_after=None, session_id=None), message("a"), message("c")]
    stored = await store.run(lambda tx: tx.put_outbox(given))
    await put(store, "other", cause="c2")
    assert [replace(one, position=0) for one in stored] == given
    assert await store.run(lambda tx: tx.outbox_of("c1")) == stored
    assert [one.position for one in stored] == sorted({one.position for one in stored})


async def test_confirmed_messages_are_forgotten(store: Store) -> None:
    """A confirmed message is gone soon after, the others stay; again is fine."""
    first, second = await put(store, "a", "b")
    await store.published([first])
    await store.published([first, 10**9])
    await until_left(store, second)
    await store.published([])


async def test_positions_are_never_used_again(store: Store) -> None:
    """After all messages were forgotten the next one gets a higher position than any before."""
    before = await put(store, "a", "b")
    await store.published(before)
    await until_left(store)
    assert min(await put(store, "c")) > max(before)


async def test_confirmed_messages_are_forgotten_at_the_latest_when_the_store_is_closed(
    new_store: NewStore,
) -> None:
    """A store that is closed right after a confirmation leaves nothing that would be sent again."""
    first, second = await new_store(), await new_store()
    await first.published(await put(first, "a"))
    await first.close()
    assert await positions(second) == []


async def test_what_was_left_is_given_out_once_for_a_while(new_store: NewStore) -> None:
    """Two workers that sweep at once share what is old enough, oldest first; a while later it is given out again."""
    first, second = await new_store(), await new_store()
    all_of_them = await put(first, *(f"m{number}" for number in range(10)))
    assert await first.unsent(older_than=NOW - SECOND, limit=10) == []
    taken = await asyncio.gather(*(store.unsent(older_than=NOW, limit=5) for store in (first, second, first)))
    given = [one.position for part in taken for one in part]
    rest = [one.position for one in await second.unsent(older_than=NOW, limit=10)]
    assert sorted(given + rest) == all_of_them
    assert all([one.position for one in part] == sorted(one.position for one in part) for part in taken)
    again = await second.unsent(older_than=NOW + UNSENT_CLAIM, limit=20)
    assert [one.position for one in again] == all_of_them


async def test_what_is_confirmed_is_not_unsent(store: Store) -> None:
    """A message that was confirmed a moment ago is not given to a sweep, though its row may still be there."""
    first, second = await put(store, "a", "b")
    await store.published([first])
    assert [one.position for one in await store.unsent(older_than=NOW, limit=10)] == [second]
