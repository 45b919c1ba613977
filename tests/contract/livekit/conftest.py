"""Both LiveKits, the fake and the real one, in the same clothes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from deploy.servers import LiveKit, free_port
from tests.support.fake_livekit import FakeLiveKit
from tests.support.webhook_receiver import Request, WebhookReceiver, receiving
from worker.adapters.livekit.server_api import LiveKitServer
from worker.adapters.livekit.tokens import AccessTokens


class Person(Protocol):
    """Somebody in a room of either."""

    @property
    def sid(self) -> str: ...
    async def speak(self, *, name: str, source: str) -> str: ...
    async def hush(self, track_sid: str) -> None: ...
    async def leave(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One LiveKit, what it posts, and how to come in."""

    ws_url: str
    api_key: str
    api_secret: str
    webhooks: WebhookReceiver
    fake: FakeLiveKit | None
    people: list[Person]

    @property
    def tokens(self) -> AccessTokens:
        """Signs what this LiveKit accepts."""
        return AccessTokens(key=self.api_key, secret=self.api_secret, bot_ttl=timedelta(minutes=5))

    def server_api(self, *, secret: str | None = None) -> LiveKitServer:
        """June's own client of it; close it."""
        return LiveKitServer(url=self.ws_url, key=self.api_key, secret=secret or self.api_secret)

    async def join(self, room: str, identity: str, *, name: str | None = None) -> Person:
        """A person comes in with June's token."""
        return await self.enter(
            self.tokens.person(
                room_name=room, identity=identity, name=name, now=datetime.now(UTC), ttl=timedelta(minutes=5)
            ),
            room,
            identity,
        )

    async def join_transcriber(self, room: str, identity: str) -> Person:
        """A listening bot comes in with June's token."""
        token = self.tokens.transcriber(room_name=room, identity=identity, now=datetime.now(UTC))
        return await self.enter(token, room, identity)

    async def join_speaker(self, room: str, identity: str) -> Person:
        """A speaking bot comes in with June's token."""
        token = self.tokens.speaker(room_name=room, identity=identity, now=datetime.now(UTC))
        return await self.enter(token, room, identity)

    def time_passes(self) -> None:
        """Longer than a room without people stays open. The real server's own time is waited for."""
        if self.fake:
            self.fake.advance(timedelta(seconds=2))

    async def enter(self, token: str, room: str, identity: str) -> Person:
        """Come in with any token; return once LiveKit has told of it."""
        person: Person
        if self.fake:
            person = FakePerson(self.fake, room, identity, self.fake.join_by_token(token))
        else:
            # LiveKit's client takes a quarter of a second to import, which the fast run need not spend.
            from tests.contract.livekit.real_person import RealPerson

            person = await RealPerson.join(self.ws_url, token)
        self.people.append(person)
        # A client is connected a little before the server counts it as active; who leaves in between never joined.
        await self.webhooks.until(
            lambda requests: any(_tells(one, person) for one in requests), room_name=room
        )
        return person


def _tells(request: Request, person: Person) -> bool:
    return request.event == "participant_joined" and request.payload["participant"]["sid"] == person.sid


class FakePerson:
    """Somebody in a room of the fake."""

    def __init__(self, fake: FakeLiveKit, room: str, identity: str, sid: str) -> None:
        self._fake = fake
        self._room = room
        self._identity = identity
        self._sid = sid

    @property
    def sid(self) -> str:
        return self._sid

    async def speak(self, *, name: str, source: str) -> str:
        return self._fake.publish(self._room, self._identity, name=name, source=source)

    async def hush(self, track_sid: str) -> None:
        self._fake.unpublish(self._room, track_sid)

    async def leave(self) -> None:
        if self._identity in self._fake.identities(self._room):
            self._fake.leave(self._room, self._identity)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.livekit)])
def real_server(request: pytest.FixtureRequest) -> LiveKit | None:
    """The real server, or `None` where the fake's turn is."""
    if request.param == "fake":
        return None
    server: LiveKit = request.getfixturevalue("livekit_server")
    return server


@pytest.fixture
async def contestant(real_server: LiveKit | None, webhook_port: int) -> AsyncIterator[Contestant]:
    """Each test runs against the fake, then against the real server."""
    people: list[Person] = []
    async with receiving(webhook_port if real_server else free_port()) as webhooks:
        if real_server:
            yield Contestant(
                ws_url=real_server.ws_url,
                api_key=real_server.api_key,
                api_secret=real_server.api_secret,
                webhooks=webhooks,
                fake=None,
                people=people,
            )
            for person in people:
                await person.leave()
            return
        async with FakeLiveKit(webhook_urls=[webhooks.url]) as fake:
            yield Contestant(
                ws_url=fake.ws_url,
                api_key=fake.api_key,
                api_secret=fake.api_secret,
                webhooks=webhooks,
                fake=fake,
                people=people,
            )


@pytest.fixture
async def server_api(contestant: Contestant) -> AsyncIterator[LiveKitServer]:
    """June's client of the contestant."""
    client = contestant.server_api()
    yield client
    await client.close()


_numbers = itertools.count(1)


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A room name that no other test uses, with characters that are hard to quote."""
    return f"june room/ü*# {request.node.name} {next(_numbers)} {datetime.now(UTC).timestamp()}"
