"""Waiting for what tells nobody when it has happened: it is looked at again and again, until a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_PAUSE_S = 0.01


async def until(holds: Callable[[], object], *, within_s: float = 30, what: str = "it") -> None:
    """Returns once it holds; what is to be awaited is awaited at each look. `AssertionError` after the deadline."""
    try:
        async with asyncio.timeout(within_s):
            while not await _held(holds()):  # noqa: ASYNC110 - it is for what has no event
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {within_s} s") from None


async def _held(found: object) -> object:
    return await found if isinstance(found, Awaitable) else found


def wait_until(
    holds: Callable[[], object], *, within_s: float = 30, what: Callable[[], str] = lambda: "it"
) -> None:
    """The same without an event loop; `what` is said of it at the deadline."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what()} did not come true within {within_s} s"
        time.sleep(_PAUSE_S)
