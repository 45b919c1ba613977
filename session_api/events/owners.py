"""Whose session it is: learnt from the events that say it, else asked of June once. It never changes.

An adopted session is nobody's, and so is one that June does not know any more. Bounded: the sessions that were not
asked for longest are forgotten first.
"""

import asyncio
from collections import OrderedDict
from typing import Any, Final

from schemas.commands import SessionGet
from session_api.commander import Commander
from session_api.problems import Code, Problem

KEPT: Final = 10_000
_SOURCE: Final = "june-api"


class Owners:
    """The `user_id` of each session."""

    def __init__(self, commander: Commander, *, kept: int = KEPT) -> None:
        """Nothing is known yet."""
        self._commander = commander
        self._kept = kept
        self._known: OrderedDict[str, str | None] = OrderedDict()
        self._asking: dict[str, asyncio.Task[str | None]] = {}

    def learn(self, session: dict[str, Any]) -> None:
        """A session as an event carries it."""
        session_id, user_id = session.get("session_id"), session.get("user_id")
        if isinstance(session_id, str) and isinstance(user_id, str | None):
            self._remember(session_id, user_id)

    async def user_of(self, session_id: str) -> str | None:
        """Raises Problem when June cannot say at this moment."""
        if session_id in self._known:
            self._known.move_to_end(session_id)
            return self._known[session_id]
        task = self._asking.get(session_id)
        if task is None:
            task = asyncio.create_task(self._ask(session_id), name=f"owner of {session_id}")
            self._asking[session_id] = task
            task.add_done_callback(lambda task: self._asked(session_id, task))
        return await asyncio.shield(task)

    def _asked(self, session_id: str, task: asyncio.Task[str | None]) -> None:
        self._asking.pop(session_id, None)
        if not task.cancelled():
            task.exception()  # seen, though everybody who waited for it may be gone

    async def _ask(self, session_id: str) -> str | None:
        try:
            result = await self._commander.ask(SessionGet, {"session_id": session_id}, source=_SOURCE)
        except Problem as problem:
            if problem.code not in {Code.NOT_FOUND, Code.INVALID_ARGUMENT}:
                raise
            user_id = None
        else:
            user_id = result["session"]["user_id"]
        self._remember(session_id, user_id)
        return user_id

    def _remember(self, session_id: str, user_id: str | None) -> None:
        self._known[session_id] = user_id
        self._known.move_to_end(session_id)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
