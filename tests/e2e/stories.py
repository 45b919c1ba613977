"""What happens in rooms, and what June must tell of it: shared by the tests of room events and of guarantees."""

from __future__ import annotations

import asyncio
import random
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.e2e.client import SOON_S, Inbox, Received, types
from tests.e2e.installation import Installation
from tests.e2e.names import CREATED, ENDED, JOINED, LEFT, PUBLISHED, START, STOP, UNPUBLISHED, room_name
from tests.e2e.shapes import ENVELOPE, mirrors
from tests.e2e.webhooks import Body, RoomStory, microphone, person


async def told(
    june: Installation, inbox: Inbox, *names: str, within_s: float = SOON_S
) -> dict[str, list[Received]]:
    """All that was told of these rooms, once what was posted before is dealt with.

    A room of its own goes through each partition behind them: when that has ended, so has what was before it.
    """
    marks = [name_in_partition(number) for number in {partition(name) for name in names}]
    for mark in marks:
        story = RoomStory(mark)
        await june.webhook.all(story.started(), story.finished())
    waiting = set(marks)

    def behind(one: Received) -> bool:
        if one.type == ENDED:
            waiting.discard(one.envelope["partitionkey"])
        return not waiting

    await inbox.each_until(behind, within_s=within_s, what=f"the end of {marks}")
    found: dict[str, list[Received]] = {name: [] for name in names}
    for one in inbox.all:
        found.get(one.envelope["partitionkey"], []).append(one)
    return found


def partition(name: str) -> int:
    """Of a room, by the contract's formula."""
    return zlib.crc32(name.encode()) % 16


def name_in_partition(number: int) -> str:
    """A new room's name that the formula sends there."""
    return next(name for name in iter(room_name, "") if partition(name) == number)


def conversation(story: RoomStory, dice: random.Random) -> tuple[list[Body], set[str]]:
    """What happens in a room with a few people, in LiveKit's order; which tracks are voices."""
    bodies, voices = [story.started()], set()
    for number in range(dice.randint(1, 3)):
        who = person(f"person-{number % 2}", kind=dice.choice([None, None, "SIP", "AGENT"]))
        bodies.append(story.joined(who))
        for _ in range(dice.randint(0, 2)):
            track = microphone() if dice.random() < 0.7 else microphone(type="VIDEO", source="CAMERA")
            if "type" not in track and who.get("kind") != "AGENT":
                voices.add(track["sid"])
            bodies += [story.published(who, track), story.unpublished(who, track)]
        bodies.append(story.left(who))
    return [*bodies, story.finished()], voices


async def post_side_by_side(june: Installation, plans: Sequence[Sequence[Body]]) -> None:
    async def one(plan: Sequence[Body]) -> None:
        await june.webhook.all(*plan)

    await asyncio.gather(*(one(plan) for plan in plans))


def once(messages: Iterable[Received]) -> list[Received]:
    """Each message at its first coming. A copy, which a crash may make, must have the same bytes."""
    first: dict[str, Received] = {}
    for one in messages:
        assert first.setdefault(one.envelope["id"], one).body == one.body
    return list(first.values())


def complete(messages: Sequence[Received], plan: Sequence[Body], voices: set[str]) -> None:
    """All that happened in a room, in LiveKit's order, was told: nobody, no track and no voice is missing."""
    people = {body["participant"]["sid"] for body in plan if body["event"] == "participant_joined"}
    tracks = {body["track"]["sid"] for body in plan if "track" in body}
    assert {one.data["participant"]["sid"] for one in messages if one.type == JOINED} == people
    assert {one.data["track"]["sid"] for one in messages if one.type == PUBLISHED} == tracks
    assert {one.data["track"]["sid"] for one in messages if one.type == START} == voices
    over(messages)
    assert messages


def consistent(messages: Sequence[Received]) -> None:
    """Envelopes as promised, sequences rise, each sid once and in order, one job for each voice."""
    last: dict[str, str] = {}
    ids = Counter(one.envelope["id"] for one in messages)
    assert max(ids.values(), default=1) == 1
    for one in messages:
        _is_envelope(one)
        subject, sequence = one.envelope["subject"], one.envelope["sequence"]
        assert sequence > last.get(subject, ""), types(messages)
        last[subject] = sequence
    _alternate(messages, JOINED, LEFT, lambda one: one.data["participant"]["sid"])
    _alternate(messages, PUBLISHED, UNPUBLISHED, lambda one: one.data["track"]["sid"])
    _alternate(messages, START, STOP, lambda one: one.data["job_id"])
    _within(messages)


def _is_envelope(one: Received) -> None:
    assert set(one.envelope) == ENVELOPE
    assert (one.envelope["specversion"], one.envelope["source"]) == ("1.0", "june")
    assert re.fullmatch(r"\d{20}", one.envelope["sequence"])
    assert one.routing_key == one.type
    assert one.message.correlation_id
    mirrors(one.message, one.envelope)


def _alternate(messages: Sequence[Received], opens: str, closes: str, key: Any) -> None:
    """Each key opens at most once, and closes at most once and only after that."""
    seen: dict[str, list[str]] = {}
    for one in messages:
        if one.type in {opens, closes}:
            seen.setdefault(f"{one.envelope['subject']} {key(one)}", []).append(one.type)
    for story in seen.values():
        assert story in ([opens], [opens, closes]), story


def _within(messages: Sequence[Received]) -> None:
    """Tracks live within their participants, participants within their session."""
    there: set[str] = set()
    for one in messages:
        if one.type in {PUBLISHED, UNPUBLISHED}:
            assert one.data["participant"]["sid"] in there, types(messages)
        elif one.type == JOINED:
            there.add(one.data["participant"]["sid"])
        elif one.type == LEFT:
            there.discard(one.data["participant"]["sid"])
        elif one.type == ENDED:
            assert not there, types(messages)


def over(messages: Sequence[Received]) -> None:
    """Nothing is open any more."""
    count = Counter(types(messages))
    for opens, closes in ((JOINED, LEFT), (PUBLISHED, UNPUBLISHED), (START, STOP), (CREATED, ENDED)):
        assert count[opens] == count[closes], types(messages)
    if messages:
        assert messages[-1].type == ENDED


def only(messages: Sequence[Received], type_: str) -> Received:
    (one,) = (one for one in messages if one.type == type_)
    return one
