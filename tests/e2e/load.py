"""Rooms and commands that keep coming while a test breaks something.

Promises: webhooks are repeated as LiveKit repeats them, and commands until they are answered; what was promised to
them is kept for the test to check.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.client import Client, command
from tests.e2e.installation import Installation
from tests.e2e.names import CREATE
from tests.e2e.stories import conversation
from tests.e2e.webhooks import Body, RoomStory
from tests.support.polling import until

PAUSE_S = 0.1
"""Between two rooms or creates of one actor: the machine is shared with what is tested."""


@dataclass(kw_only=True)
class Load:
    """What was done so far. `plans` and `voices` are by room name, of rooms whose every webhook was taken."""

    plans: dict[str, Sequence[Body]] = field(default_factory=dict)
    voices: dict[str, set[str]] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    async def more_rooms(self, count: int) -> None:
        """Go on until so many more rooms are done."""
        wanted = len(self.plans) + count
        await until(lambda: len(self.plans) >= wanted, within_s=60, what=f"{count} more rooms")


@asynccontextmanager
async def under_load(june: Installation, client: Client, *, side_by_side: int = 2) -> AsyncIterator[Load]:
    """Rooms and creates for the time of the block; those that are begun are finished."""
    load, over = Load(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(side_by_side):
            group.create_task(_rooms(june, load, over, random.Random(number)))
            group.create_task(_creates(client, load, over))
        try:
            yield load
        finally:
            over.set()


async def _rooms(june: Installation, load: Load, over: asyncio.Event, dice: random.Random) -> None:
    while not over.is_set():
        story = RoomStory()
        plan, voices = conversation(story, dice)
        for body in plan:
            await deliver(june, body)
        load.plans[story.name], load.voices[story.name] = plan, voices
        await asyncio.sleep(PAUSE_S)


async def deliver(june: Installation, body: Body) -> None:
    """As LiveKit does it: again after a 5xx or a broken connection, the same bytes."""
    async with asyncio.timeout(120):
        while True:
            try:
                status = await june.webhook(body)
            except aiohttp.ClientError:
                status = 0
            if status == 200:
                return
            assert status in {0, 503}
            await asyncio.sleep(0.1)


async def _creates(client: Client, load: Load, over: asyncio.Event) -> None:
    while not over.is_set():
        body = command(CREATE, {"user_id": "ann", "session_id": f"load-{uuid.uuid4().hex}"})
        answer = await client.ask_bytes(body, within_s=60)
        while not answer["ok"] and answer["error"]["retryable"]:
            load.refused.append(answer["error"])
            await asyncio.sleep(0.1)
            answer = await client.ask_bytes(body, within_s=60)
        assert answer["ok"], answer
        load.sessions.append(answer["result"]["session"]["session_id"])
        await asyncio.sleep(PAUSE_S)
