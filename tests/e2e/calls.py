"""One call in one room, and the services that report on it: for tests of the pipeline that know the contract alone.

Promises: a service's report goes where its job's `report_to` leads, under the name of its instance; each has an id of
its own unless a test gives one. What was told of the room is read from the test's inbox, in order.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.e2e.client import Client, Inbox, Received
from tests.e2e.installation import JUNE_SENDS, Installation
from tests.e2e.names import AI_CANCEL, JOB, SPEAK, START, STOP, TTS_CANCEL, TURN, TURN_OVER
from tests.e2e.stories import told
from tests.e2e.webhooks import RoomStory, microphone, person


class Call:
    """Ann, and whoever else comes, in a room of their own. `await call.begin()` first."""

    def __init__(self, june: Installation, client: Client, inbox: Inbox) -> None:
        self._june, self._client, self._inbox = june, client, inbox
        self.story, self.ann, self.mic = RoomStory(), person("ann", name="Ann"), microphone()

    async def begin(self, **session: Any) -> dict[str, Any]:
        """Ann is there and speaks, in a session as it is asked for or else an adopted one: her job."""
        if session:
            asked = {"user_id": "ann", "room_name": self.story.name, **session}
            made = await self._client.ok("june.session.create.v1", asked)
            self.story = RoomStory(self.story.name, sid=made["session"]["livekit_room_sid"])
        else:
            await self._june.webhook(self.story.started())
        await self.joins(self.ann, self.mic)
        return (await self.nth(START)).data

    async def joins(self, who: Mapping[str, Any], mic: Mapping[str, Any]) -> None:
        """Somebody comes, with a microphone."""
        await self._june.webhook.all(self.story.joined(who), self.story.published(who, mic))

    async def webhook(self, *bodies: Any) -> None:
        """Something else happens."""
        await self._june.webhook.all(*bodies)

    # Reports.

    async def report(
        self, job: Mapping[str, Any], type_: str, *, by: str, id_: str | None = None, **data: Any
    ) -> bytes:
        """A report on the job as it came, with the fields given over those that name the job: its bytes."""
        names = {name: job[name] for name in ("job_id", "turn_id", "part", "attempt") if name in job}
        body = json.dumps(
            {
                "specversion": "1.0",
                "id": id_ or str(uuid.uuid4()),
                "source": by,
                "type": f"june.{type_}.v1",
                "data": names | data,
            }
        ).encode()
        to = job["report_to"]
        await self._client.publish(to["exchange"], to["routing_key"], body)
        return body

    async def stt(self, job: Mapping[str, Any], state: str, *, by: str = "stt-1", **more: Any) -> None:
        """A service says how it goes with a voice."""
        await self.report(job, "stt.status", by=by, state=state, **more)

    async def says(
        self,
        job: Mapping[str, Any],
        text: str,
        *,
        by: str = "stt-1",
        utterance: str | None = None,
        **more: Any,
    ) -> None:
        """A final transcript."""
        said = utterance or str(uuid.uuid4())
        await self.report(job, "stt.transcript", by=by, utterance_id=said, text=text, is_final=True, **more)

    async def answers(
        self,
        turn: Mapping[str, Any],
        part: int,
        text: str,
        *,
        by: str = "ai-1",
        final: bool = False,
        **more: Any,
    ) -> None:
        """A part of an answer."""
        await self.report(turn, "ai.reply", by=by, part=part, text=text, is_final=final, **more)

    async def ai(self, turn: Mapping[str, Any], state: str, *, by: str = "ai-1", **more: Any) -> None:
        """A service says how it goes with an answer."""
        await self.report(turn, "ai.status", by=by, state=state, **more)

    async def tts(self, part: Mapping[str, Any], state: str, *, by: str = "tts-1", **more: Any) -> None:
        """A service says how it goes with a part to speak."""
        await self.report(part, "tts.status", by=by, state=state, **more)

    async def speaks(self, number: int) -> dict[str, Any]:
        """The part that is offered as the so many-th is spoken to its end; the part."""
        part = (await self.nth(SPEAK, number)).data
        await self.tts(part, "running")
        await self.tts(part, "completed")
        return part

    # What was told.

    async def nth(self, type_: str, number: int = 1, **more: Any) -> Received:
        """The so many-th message of the type in this room, now or later."""
        return (await self.some(number, type_, **more))[number - 1]

    async def some(self, number: int, *types: str, **more: Any) -> list[Received]:
        """At least so many messages of these types in this room, now or later."""
        await self._inbox.until(lambda _: len(self.of(*types)) >= number, what=f"{types} {number}", **more)
        return self.of(*types)

    async def all(self) -> list[Received]:
        """All that was told of the room, once what was sent before is dealt with."""
        return (await told(self._june, self._inbox, self.story.name))[self.story.name]

    def of(self, *types: str) -> list[Received]:
        """What has come of these types until now."""
        return [one for one in self._inbox.all if one.type in types and self.is_mine(one)]

    def is_mine(self, one: Received) -> bool:
        """Whether it is about this room."""
        return one.exchange.startswith("june.") and one.envelope.get("partitionkey") == self.story.name


async def asked(call: Call, text: str = "hello") -> tuple[dict[str, Any], dict[str, Any]]:
    """Ann's job, and the turn that her words became."""
    job = await call.begin()
    await call.stt(job, "running")
    await call.says(job, text)
    return job, (await call.nth(TURN)).data


# What messages say.


def stop(attempt: int | None, instance: str | None, reason: str = "superseded") -> dict[str, Any]:
    """What a stop says, as `stops` has it."""
    return {"attempt": attempt, "instance": instance, "reason": reason}


def stops(messages: list[Received]) -> list[dict[str, Any]]:
    """Whom the stops name, and why."""
    found = [one.data for one in messages if one.type == STOP]
    return [{name: data[name] for name in ("attempt", "instance", "reason")} for data in found]


def changes(messages: list[Received]) -> list[tuple[str, int, str | None]]:
    """What was told of the job's life."""
    return [
        (one.data["state"], one.data["attempt"], one.data["reason"]) for one in messages if one.type == JOB
    ]


def cancels(messages: list[Received]) -> list[tuple[str, int | None, str | None, str]]:
    """Who is told to stop, by kind, attempt, instance and reason."""
    return [
        (one.type.split(".")[1], one.data["attempt"], one.data["instance"], one.data["reason"])
        for one in messages
        if one.type in {AI_CANCEL, TTS_CANCEL}
    ]


def over(messages: list[Received]) -> list[tuple[str, bool]]:
    """What the completions of turns say."""
    return [(one.data["text"], one.data["spoken"]) for one in messages if one.type == TURN_OVER]


def spoken(messages: list[Received]) -> list[tuple[int, int, str]]:
    """What TTS was given: part, attempt, text."""
    return [
        (one.data["part"], one.data["attempt"], one.data["text"]) for one in messages if one.type == SPEAK
    ]


Story = Callable[[Client, Call], Awaitable[None]]
"""A test that waits for a lease: many may wait side by side."""


@asynccontextmanager
async def side_by_side(
    june: Installation, stories: Sequence[Story]
) -> AsyncIterator[Sequence[Awaitable[None]]]:
    """The stories, begun, each in a room of its own."""
    async with Client(june.amqp_url) as client:
        inbox = await client.subscribe(*JUNE_SENDS)
        begun = [asyncio.ensure_future(story(client, Call(june, client, inbox))) for story in stories]
        yield begun
        for one in begun:
            one.cancel()
