"""A model of June's surroundings: people in LiveKit's rooms, clients, services and faults, driven step by step.

Promises: deterministic for the same steps. What LiveKit and the services say may come late, doubled, swapped or never;
what is in a partition's queue is handled in order, again and again until it is acked, as the broker does it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from schemas.topology import ROOMS, partition_of
from tests.support.bench_worker import INTERVAL
from tests.support.world import World
from worker.application.failures import Outage
from worker.application.ports import OutboxMessage
from worker.application.room_events import Handled

Step = tuple[str, int, int]
"""What happens, and two numbers that choose among what there is."""

ROOM_NAMES = ("tea", "den")
_PEOPLE = (
    ("ann", "standard"),
    ("ben", "sip"),
    ("bot", "agent"),
    ("june-stt-1", "agent"),
    ("rec", "egress"),
)
_SOURCES = ("microphone", "unknown", "screen_share_audio")
_PAUSES_S = (0.2, 1, 4, 9, 16, 31, 65)
_OFFERS = ("june.stt.start.v1", "june.ai.turn.v1", "june.tts.speak.v1")


class Model:
    """`await do(step)` for each step, then `await settle()`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.troubled = False
        """Whether the broker was away at some time: then messages come late, and not in the order of their making."""
        self.completed: set[str] = set()
        """Voices whose job a service called completed, with the track's sid."""
        self.revived: set[str] = set()
        """Rooms that were over for June by mistake, by sid."""
        self.told: list[OutboxMessage] = []
        """What June published to others, copies included, in order."""
        self._queues: dict[str, deque[bytes]] = {name: deque() for name in ROOM_NAMES}
        self._commands: list[bytes] = []
        self._steps: dict[str, Callable[[int, int], Awaitable[None]]] = {
            "join": self._join,
            "leave": self._leave,
            "publish": self._publish,
            "unpublish": self._unpublish,
            "finish": self._finish,
            "kill": self._kill,
            "post": self._post,
            "lose": self._lose,
            "work": self._work,
            "crash": self._crash,
            "create": self._create,
            "delete": self._delete,
            "remove": self._remove,
            "again": self._again,
            "report": self._report,
            "serve": self._serve,
            "time": self._time,
            "pass": self._pass,
            "broker": self._broker,
            "livekit": self._livekit,
            "sweep": self._sweep,
        }

    async def do(self, step: Step) -> None:
        """One step; it may find nothing to do."""
        name, one, two = step
        await self._steps[name](one, two)
        self._sort_out()

    async def settle(self, *, lossy: bool) -> None:
        """Faults end, what waits is delivered (or, `lossy`, lost), and time passes until June may know everything."""
        await self._broker(0, 0)
        await self._livekit(0, 0)
        for room in ROOM_NAMES:
            if self.world.livekit.there(room) is not None:
                # A room with none but agents is empty to LiveKit, and nobody looks into it.
                self.world.livekit.join(room, "cem")
        for number in range(14):
            if lossy:
                self.world.livekit.webhooks.clear()
            await self._flush()
            self.world.clock.advance(INTERVAL)
            if number == 0:
                self.world.livekit.rooms_there.age()
            await self._flush()
            await self.world.cases.reconciler.run_pass()
            await self._flush()

    async def rests(self) -> bool:
        """Whether ten more passes say and change nothing."""
        self._sort_out()
        said, known = len(self.told), await self.world.known()
        for _ in range(10):
            self.world.clock.advance(INTERVAL)
            await self.world.cases.reconciler.run_pass()
            self._sort_out()
            if any(self._queues.values()) or await self.world.cases.errands.round():
                return False
        return (len(self.told), await self.world.known()) == (said, known)

    def tracks_of(self, people: frozenset[str]) -> set[str]:
        """The sids of what these publish."""
        rooms = self.world.livekit.rooms_there.all()
        there = [one for room in rooms for one in room.participants.values() if one.sid in people]
        return {track.sid for one in there for track in one.tracks}

    def bots_in(self, rooms: set[str]) -> set[str]:
        """The sids of June's own bots there, of whom nothing is ever told."""
        there = [room for room in self.world.livekit.rooms_there.all() if room.info.sid in rooms]
        people = [one for room in there for one in room.participants.values()]
        return {one.sid for one in people if one.identity.startswith("june-")}

    def _sort_out(self) -> None:
        """What June sends to itself goes into the queues."""
        for message in self.world.publisher.messages:
            if message.exchange == ROOMS:
                envelope = json.loads(message.body)
                self._queues[envelope["partitionkey"]].append(message.body)
                facts = envelope["data"].get("facts", ())
                self.revived |= {fact["room_sid"] for fact in facts if fact["fact"] == "RoomRevived"}
            else:
                self.told.append(message)
        self.world.publisher.messages = []

    async def _flush(self) -> None:
        """All that is under way arrives; June does all that it has to do now."""
        cases = self.world.cases
        while True:
            while self.world.livekit.webhooks:
                await self._post(0, 0)
            done = await cases.moments.round() + await cases.errands.round()
            done += await cases.outbox.sweep(older_than=timedelta(0))
            self._sort_out()
            waiting = sum(map(len, self._queues.values()))
            for room in ROOM_NAMES:
                await self._handle(room, at_most=100, acks=True)
                self._sort_out()
            if not done and not waiting and not self.world.livekit.webhooks:
                return

    # LiveKit.

    async def _join(self, one: int, two: int) -> None:
        identity, kind = _PEOPLE[two % len(_PEOPLE)]
        self.world.livekit.join(_room(one), identity, kind=kind)

    async def _leave(self, one: int, two: int) -> None:
        if people := self._people(one):
            self.world.livekit.leave(_room(one), people[two % len(people)])

    async def _publish(self, one: int, two: int) -> None:
        if people := self._people(one):
            source = _SOURCES[two % 2 if two < 6 else 2]
            self.world.livekit.publish(_room(one), people[two % len(people)], source=source)

    async def _unpublish(self, one: int, two: int) -> None:
        room = self.world.livekit.there(_room(one))
        people = [] if room is None else room.participants.values()
        if tracks := [track.sid for person in people for track in person.tracks]:
            self.world.livekit.unpublish(_room(one), tracks[two % len(tracks)])

    async def _finish(self, one: int, two: int) -> None:
        self.world.livekit.finish(_room(one))

    async def _kill(self, one: int, two: int) -> None:
        self.world.livekit.kill()

    def _people(self, number: int) -> list[str]:
        room = self.world.livekit.there(_room(number))
        return [] if room is None else list(room.participants)

    # What comes from LiveKit.

    async def _post(self, one: int, two: int) -> None:
        """Some webhook reaches its queue; now and then it is sent once more later."""
        waiting = self.world.livekit.webhooks
        if waiting:
            place = one % len(waiting)
            body = waiting[place] if two == 7 else waiting.pop(place)
            self._queues[body["room"]["name"]].append(json.dumps(body).encode())

    async def _lose(self, one: int, two: int) -> None:
        waiting = self.world.livekit.webhooks
        if waiting:
            waiting.pop(one % len(waiting))

    # The worker.

    async def _work(self, one: int, two: int) -> None:
        await self._handle(_room(one), at_most=two + 1, acks=True)

    async def _crash(self, one: int, two: int) -> None:
        """Handled, and killed before the ack: it comes again."""
        await self._handle(_room(one), at_most=two % 3 + 1, acks=False)

    async def _handle(self, room: str, *, at_most: int, acks: bool) -> None:
        queue = self._queues[room]
        batch = list(queue)[:at_most]
        if batch and await self._try(self._handled(room, batch)) and acks:
            for _ in batch:
                queue.popleft()

    async def _handled(self, room: str, batch: list[bytes]) -> None:
        for outcome in await self.world.cases.room_events.handle(partition_of(room), batch):
            assert isinstance(outcome, Handled), outcome

    async def _time(self, one: int, two: int) -> None:
        """Time passes, and what June asked for comes, unless nobody looks."""
        self.world.clock.advance(timedelta(seconds=_PAUSES_S[one % len(_PAUSES_S)]))
        self.world.livekit.rooms_there.age()
        if two % 4:
            await self._try(self.world.cases.moments.round())
            await self._try(self.world.cases.errands.round())

    async def _pass(self, one: int, two: int) -> None:
        await self._try(self.world.cases.reconciler.run_pass())

    async def _sweep(self, one: int, two: int) -> None:
        await self._try(self.world.cases.outbox.sweep(older_than=timedelta(0)))

    async def _try(self, work: Awaitable[object]) -> bool:
        """Whether it was done; an outage is what it is."""
        try:
            await work
        except Outage:
            return False
        return True

    # Faults.

    async def _broker(self, one: int, two: int) -> None:
        self.world.publisher.down = one % 3 == 1
        self.world.publisher.silent = one % 3 == 2
        self.troubled = self.troubled or one % 3 != 0

    async def _livekit(self, one: int, two: int) -> None:
        self.world.livekit.down = bool(one % 2)

    # Clients.

    async def _create(self, one: int, two: int) -> None:
        data = {"user_id": "ann", "room_name": _room(one), "ai": {"speak": two % 3 != 0}, "token_ttl_s": 60}
        await self._command("session.create", {**data, "session_id": f"s{len(self._commands)}"})

    async def _delete(self, one: int, two: int) -> None:
        await self._command("session.delete", {"session_id": self._some_session(one)})

    async def _remove(self, one: int, two: int) -> None:
        identity = _PEOPLE[two % 2][0]
        await self._command(
            "participant.remove", {"session_id": self._some_session(one), "identity": identity}
        )

    async def _again(self, one: int, two: int) -> None:
        if self._commands:
            await self._execute(self._commands[one % len(self._commands)])

    async def _command(self, type_: str, data: dict[str, Any]) -> None:
        body = self.world.envelope(f"june.{type_}.v1", data, message_id=f"c{len(self._commands)}")
        self._commands.append(body)
        await self._execute(body)

    async def _execute(self, body: bytes) -> None:
        async def work() -> None:
            answered = await self.world.cases.commands.execute(body, deadline=None)
            assert answered.error is None or answered.error.code != "internal", answered.reply

        await self._try(work())

    def _some_session(self, number: int) -> str:
        created = [one for one in self.told if one.type == "june.session.created.v1"]
        return str(created[-1 - number % len(created)].session_id) if created else "nobody"

    # Services.

    async def _report(self, one: int, two: int) -> None:
        """A service reports on one of the last offers, or on an old one; now and then twice."""
        offers = [message for message in self.told if message.type in _OFFERS]
        if not offers:
            return
        offer = json.loads(offers[-1 - one % len(offers)].body)["data"]
        match offers[-1 - one % len(offers)].type:
            case "june.stt.start.v1":
                report = self._of_stt(offer, two)
            case "june.ai.turn.v1":
                report = self._of_ai(offer, two)
            case _:
                report = self._of_tts(offer, two)
        type_, data = report
        source = f"{type_[:3]}-{offer['attempt'] + (two == 5)}"
        body = self.world.envelope(f"june.{type_}.v1", data, source=source)
        self._queues[offer["room_name"]].extend([body] * (2 if one == two else 1))

    async def _serve(self, one: int, two: int) -> None:
        """For once all goes well: what is under way arrives, and a service reports and is heard."""
        for _ in range(len(self.world.livekit.webhooks)):
            await self._post(0, 0)
        for report in (False, True):
            if report:
                await self._report(one // 3, two)
            for room in ROOM_NAMES:
                await self._handle(room, at_most=100, acks=True)
            self._sort_out()

    def _of_stt(self, offer: dict[str, Any], two: int) -> tuple[str, dict[str, Any]]:
        job = {"job_id": offer["job_id"], "attempt": offer["attempt"]}
        match two:
            case 0 | 5:
                return "stt.status", {**job, "state": "running"}
            case 1:
                return "stt.status", {**job, "state": "failed", "error": "draining"}
            case 2:
                return "stt.speech_started", {"job_id": offer["job_id"]}
            case 3:
                self.completed.add(offer["track"]["sid"])
                return "stt.status", {**job, "state": "completed"}
            case _:
                # Now and then the same words again, in another message.
                said = f"{offer['job_id']}-{len(self.told) // 10}"
                words = {"utterance_id": said, "text": f"words {said}", "is_final": True}
                return "stt.transcript", {**job, **words}

    def _of_ai(self, offer: dict[str, Any], two: int) -> tuple[str, dict[str, Any]]:
        turn = {"turn_id": offer["turn_id"], "attempt": offer["attempt"]}
        match two:
            case 0:
                return "ai.status", {**turn, "state": "failed"}
            case 1 | 5:
                return "ai.status", {**turn, "state": "running"}
            case 2 | 3:
                return "ai.reply", {**turn, "part": 1, "text": "world.", "is_final": True}
            case _:
                return "ai.reply", {**turn, "part": 0, "text": "Hello", "is_final": two == 7}

    def _of_tts(self, offer: dict[str, Any], two: int) -> tuple[str, dict[str, Any]]:
        states = (
            "failed",
            "running",
            "cancelled",
            "completed",
            "completed",
            "running",
            "completed",
            "completed",
        )
        part = {"turn_id": offer["turn_id"], "part": offer["part"], "attempt": offer["attempt"]}
        return "tts.status", {**part, "state": states[two]}


def _room(number: int) -> str:
    # One room is busier than the other.
    return ROOM_NAMES[number % 4 == 3]
