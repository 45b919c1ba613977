"""Pages of sessions."""

from dataclasses import replace
from datetime import datetime

from tests.contract.store.samples import NOW, SECOND, session
from worker.application.ports import SessionPage, Store
from worker.domain.model import Session, SessionState, State


async def put(store: Store, *sessions: Session) -> None:
    for one in sessions:
        await store.run(lambda tx, one=one: tx.save(State(), State(session=one)))  # type: ignore[misc]


async def page(
    store: Store,
    *,
    user_id: str | None = None,
    state: str | None = None,
    room_name: str | None = None,
    limit: int = 50,
    after: tuple[datetime, str] | None = None,
) -> SessionPage:
    return await store.run(
        lambda tx: tx.list_sessions(
            user_id=user_id, state=state, room_name=room_name, limit=limit, after=after
        )
    )


def ids(found: SessionPage) -> list[str]:
    return [one.session_id for one in found.sessions]


async def test_the_newest_come_first(store: Store) -> None:
    """Sessions are listed by their creation, the newest first, equal moments by id, and reserved ones not at all."""
    reserved = replace(session("z", at=NOW + SECOND), state=SessionState.RESERVED)
    await put(store, session("b"), session("a", at=NOW + SECOND), session("c"), session("B"), reserved)
    found = await page(store)
    assert ids(found) == ["a", "c", "b", "B"]
    assert found.after is None


async def test_filters_are_combined(store: Store) -> None:
    """User, state and room name must all be met."""
    ended = replace(session("e", room_name="one"), state=SessionState.ENDED)
    other = replace(session("o", room_name="two"), user_id="other")
    await put(store, ended, session("l", room_name="one"), other)
    assert ids(await page(store, room_name="one")) == ["l", "e"]
    assert ids(await page(store, state="ended")) == ["e"]
    assert ids(await page(store, user_id="other")) == ["o"]
    assert ids(await page(store, user_id="ann", state="created", room_name="one")) == ["l"]
    assert ids(await page(store, user_id="other", room_name="one")) == []
    assert ids(await page(store, state="reserved")) == []


async def test_pages_survive_inserts(store: Store) -> None:
    """Page by page every session is listed once, though newer and older ones are made in between."""
    await put(store, *(session(f"s{number}", at=NOW + number // 3 * SECOND) for number in range(10)))
    seen: list[str] = []
    after = None
    for number in range(4):
        found = await page(store, limit=3, after=after)
        seen += ids(found)
        after = found.after
        await put(store, session(f"new{number}", at=NOW + 100 * SECOND))
    assert after is None
    assert seen == [f"s{number}" for number in reversed(range(10))]


async def test_a_full_last_page_has_no_next(store: Store) -> None:
    """When the last page is exactly full there is no place to go on from."""
    await put(store, session("a"), session("b"))
    assert (await page(store, limit=2)).after is None
    assert (await page(store, limit=1)).after == (NOW, "b")
