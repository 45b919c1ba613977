"""A worker's use cases over SQLite, with LiveKit and the broker in memory, all on one clock that a test sets.

What June publishes is kept; what it sends to itself (moments, observations) comes back by `settle`, in order, as by a
partition. Webhooks wait in `livekit.webhooks` until a test has them delivered, lost or swapped.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo, TrackSource

from schemas.topology import partition_of
from tests.support.bench_worker import INTERVAL, Bench, KeptPublisher, SetClock, UseCases, use_cases
from tests.support.databases import database_in
from tests.support.memory_livekit import MemoryLiveKit
from worker.adapters.sql import open_store
from worker.application.failures import BrokerUnavailable
from worker.application.ports import Transaction
from worker.application.room_events import Handled, Outcome
from worker.domain.policy import Policy

_HUMAN = {ParticipantInfo.Kind.STANDARD, ParticipantInfo.Kind.SIP, ParticipantInfo.Kind.CONNECTOR}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lives:
    """What is there: rooms, people and tracks by sid, and the tracks that are transcribed."""

    rooms: frozenset[str]
    people: frozenset[str]
    tracks: frozenset[str]
    voices: frozenset[str]


@dataclasses.dataclass(kw_only=True)
class World(Bench):
    """One worker and all that is around it."""

    livekit: MemoryLiveKit
    cases: UseCases
    policy: Policy

    def another_worker(self, holder: str) -> UseCases:
        """The use cases of a second worker on the same store."""
        return use_cases(
            self.store, self.livekit, self.clock, self.publisher, policy=self.policy, holder=holder
        )

    # Messages in.

    async def ask(self, type_: str, *, command_id: str | None = None, **data: Any) -> dict[str, Any]:
        """Send a command; the reply's data."""
        body = self.envelope(f"june.{type_}.v1", data, message_id=command_id)
        answered = await self.cases.commands.execute(body, deadline=None)
        reply: dict[str, Any] = json.loads(answered.reply)["data"]
        return reply

    async def report(self, type_: str, room: str, *, source: str = "stt-1", **data: Any) -> None:
        """Have one report handled, in the partition of `room`."""
        await self.handled(room, self.envelope(f"june.{type_}.v1", data, source=source))

    async def handled(self, room: str, body: bytes) -> Outcome:
        """Have one message of the room's partition handled; it must not fail."""
        (outcome,) = await self.cases.room_events.handle(partition_of(room), [body])
        assert isinstance(outcome, Handled), outcome
        return outcome

    async def deliver(self, which: Callable[[str], bool] = lambda _event: True) -> None:
        """Every webhook that waits is handled in order; those of other names are lost."""
        waiting, self.livekit.webhooks[:] = list(self.livekit.webhooks), []
        for body in waiting:
            if which(body["event"]):
                await self.handled(body["room"]["name"], json.dumps(body).encode())

    async def settle(self) -> None:
        """What June sent to itself comes back, and its errands are run, until there are none."""
        for _ in range(20):
            handled = await self._come_back()
            if not await self.cases.errands.round() and not handled:
                return
        raise AssertionError("June does not come to rest")

    async def _come_back(self) -> int:
        own = self.sent_to_itself()
        for message in own:
            await self.handled(json.loads(message.body)["partitionkey"], message.body)
        return len(own)

    # Time.

    async def pass_time(self, by: timedelta, *, step: timedelta = timedelta(seconds=1)) -> None:
        """Rooms age, and each moment that June asked for comes."""
        end = self.clock.now() + by
        while self.clock.now() < end:
            self.clock.advance(min(step, end - self.clock.now()))
            self.livekit.rooms_there.age()
            await self.cases.moments.round()
            await self.settle()

    async def reconcile(self, passes: int = 1) -> int:
        """So many passes at their distance; how many rooms they looked at."""
        looked_at = 0
        for _ in range(passes):
            await self.pass_time(INTERVAL, step=INTERVAL)
            looked_at += await self.cases.reconciler.run_pass()
            await self.settle()
        return looked_at

    # What is there.

    async def known(self) -> Lives:
        """What June has as live."""

        def read(tx: Transaction) -> Lives:
            page = tx.list_sessions(user_id=None, state=None, room_name=None, limit=200, after=None)
            sids = [
                one.room_sid
                for one in page.sessions
                if one.live and one.room_sid and one.missing_since is None
            ]
            jobs = [job.track_sid for sid in sids for job in tx.live_jobs(sid)]
            assert len(jobs) == len(set(jobs)), "one job for each voice"
            return Lives(
                rooms=frozenset(sids),
                people=frozenset(one.sid for sid in sids for one in tx.live_participants(sid)),
                tracks=frozenset(track.sid for sid in sids for track in tx.live_tracks(sid)),
                voices=frozenset(jobs),
            )

        return await self.store.run(read)

    def real(self, *, completed: frozenset[str] = frozenset()) -> Lives:
        """What LiveKit has. `completed`: voices whose transcription is done for good."""
        rooms = self.livekit.rooms_there.all()
        people = [one for room in rooms for one in room.participants.values()]
        voices = [
            track.sid
            for one in people
            for track in one.tracks
            if one.kind in _HUMAN
            and track.source != TrackSource.SCREEN_SHARE_AUDIO
            and track.sid not in completed
        ]
        return Lives(
            rooms=frozenset(room.info.sid for room in rooms),
            people=frozenset(one.sid for one in people),
            tracks=frozenset(track.sid for one in people for track in one.tracks),
            voices=frozenset(voices),
        )

    async def session(self, session_id: str) -> dict[str, Any]:
        """The session as `session.get` shows it."""
        reply = await self.ask("session.get", session_id=session_id)
        session: dict[str, Any] = reply["result"]["session"]
        return session

    async def gone_rooms(self) -> int:
        """How many live sessions wait for a room that vanished."""
        return sum(one.missing_since is not None for one in await self.store.live_counts())


@asynccontextmanager
async def a_world(folder: Path, *, policy: Policy | None = None) -> AsyncIterator[World]:
    """A world with its database in `folder`."""
    clock, publisher, chosen = SetClock(), KeptPublisher(), policy or Policy()
    livekit = MemoryLiveKit(clock.now)
    store = open_store(database_in(folder))
    await store.start()
    try:
        yield World(
            clock=clock,
            publisher=publisher,
            store=store,
            livekit=livekit,
            cases=use_cases(store, livekit, clock, publisher, policy=chosen),
            policy=chosen,
        )
    finally:
        await store.close()


async def a_talk(world: World) -> tuple[str, str]:
    """Ann and Ben are in the room of a session, and Ann speaks: the sids of the room and of her voice."""
    await world.ask("session.create", user_id="ann", session_id="s1", departure_timeout_s=86_400)
    world.livekit.join("s1", "ann")
    world.livekit.join("s1", "ben")
    voice = world.livekit.publish("s1", "ann")
    await world.deliver()
    assert await world.known() == world.real()
    room = world.livekit.there("s1")
    assert room is not None
    return room.info.sid, voice


async def a_join_unconfirmed(world: World, fault: str) -> list[bytes]:
    """Ann comes into `tea` while the broker is `down` or `silent`: the webhooks, none of which was acked."""
    world.livekit.join("tea", "ann")
    bodies = [json.dumps(body).encode() for body in world.livekit.webhooks]
    setattr(world.publisher, fault, True)
    with pytest.raises(BrokerUnavailable):
        await world.cases.room_events.handle(partition_of("tea"), bodies)
    return bodies
