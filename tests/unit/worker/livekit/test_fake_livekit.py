"""The fake's faults, which the real server shows too seldom to be tested with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random

import jwt
import pytest
from aiohttp import web

from tests.support.fake_livekit import FakeLiveKit
from tests.support.webhook_receiver import WebhookReceiver, receiving
from worker.adapters.livekit.tokens import AccessTokens


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookReceiver]:
    """Takes the webhooks."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def fake(hooks: WebhookReceiver) -> AsyncIterator[FakeLiveKit]:
    """A fake in a hurry: it waits a thousandth of the real times between attempts."""
    async with FakeLiveKit(webhook_urls=[hooks.url], pace=0.001) as fake:
        yield fake


def came(hooks: WebhookReceiver) -> list[str]:
    return [request.event for request in hooks.requests]


async def test_a_kill_tells_nobody(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """Rooms and queued webhooks are gone; the same name then is another room."""
    fake.join("r", "ann")
    await fake.settled()
    before = fake.room_sid("r")
    fake.leave("r", "ann")
    fake.kill()
    assert fake.room_sid("r") is None
    fake.join("r", "ann")
    assert fake.room_sid("r") != before
    await fake.settled()
    assert came(hooks) == ["room_started", "participant_joined"] * 2


async def test_lost_webhooks_never_come(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """Only events of the names that were asked for are lost."""
    fake.drop_webhooks(lambda event: event == "participant_left")
    fake.join("r", "ann")
    fake.leave("r", "ann")
    await fake.settled()
    assert came(hooks) == ["room_started", "participant_joined"]


async def test_repeated_webhooks_are_the_same_bytes(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """A copy has the id of the first."""
    fake.repeat_webhooks(3)
    fake.join("r", "ann")
    await fake.settled()
    assert came(hooks) == ["room_started"] * 3 + ["participant_joined"] * 3
    assert len({request.body for request in hooks.requests}) == 2


async def test_held_webhooks_come_in_another_order(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """Each of them once, none in the order in which it happened necessarily."""
    fake.hold_webhooks()
    sids = [fake.join("r", f"person-{number}") for number in range(20)]
    await fake.settled()
    assert not hooks.requests
    fake.release_webhooks(Random(1))
    await fake.settled()
    order = [
        request.payload["participant"]["sid"] for request in hooks.requests if request.event != "room_started"
    ]
    assert sorted(order) == sorted(sids)
    assert order != sids


async def test_held_webhooks_come_in_order(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """Without a shuffle they are only late."""
    fake.hold_webhooks()
    fake.join("r", "ann")
    fake.finish("r")
    fake.release_webhooks()
    await fake.settled()
    assert came(hooks) == ["room_started", "participant_joined", "participant_left", "room_finished"]


async def test_five_attempts_and_no_more(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """What nobody takes is given up, and the next one follows."""
    hooks.answer("r", *(web.Response(status=status) for status in (503, 500, 429, 502, 504)))
    fake.join("r", "ann")
    await fake.settled()
    assert came(hooks) == ["room_started"] * 5 + ["participant_joined"]
    assert [posted.answers for posted in fake.posted] == [[503, 500, 429, 502, 504], [200]]


async def test_rooms_age_by_the_clock(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """Empty for thirty seconds, or left for two, is over; agents keep nothing open."""
    fake.join("left", "ann")
    fake.join("left", "june-stt-1", kind="agent", hidden=True)
    fake.leave("left", "ann")
    fake.join("never", "june-stt-1", kind="agent", hidden=True)
    fake.join("kept", "bob")
    fake.advance(timedelta(seconds=3))
    assert [fake.room_sid(room) is not None for room in ("left", "never", "kept")] == [False, True, True]
    fake.advance(timedelta(seconds=30))
    assert [fake.room_sid(room) is not None for room in ("left", "never", "kept")] == [False, False, True]
    await fake.settled()
    assert came(hooks).count("room_finished") == 2


async def test_an_aborted_join_is_one_event(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """Nobody joined, and nobody is in the room."""
    sid = fake.abort_join("r", "ann")
    await fake.settled()
    assert came(hooks) == ["room_started", "participant_connection_aborted"]
    assert hooks.requests[1].payload["participant"]["sid"] == sid
    assert fake.identities("r") == set()


async def test_a_token_decides_who_comes_in(fake: FakeLiveKit) -> None:
    """As what and where; one that is signed by another key lets nobody in."""
    tokens = AccessTokens(key=fake.api_key, secret=fake.api_secret, bot_ttl=timedelta(minutes=1))
    fake.join_by_token(tokens.transcriber(room_name="r", identity="june-stt-1", now=datetime.now(UTC)))
    assert fake.identities("r") == {"june-stt-1"}
    other = AccessTokens(key=fake.api_key, secret="x" * 32, bot_ttl=timedelta(minutes=1))
    with pytest.raises(jwt.InvalidTokenError):
        fake.join_by_token(other.transcriber(room_name="r", identity="june-stt-2", now=datetime.now(UTC)))


async def test_any_body_can_be_posted(fake: FakeLiveKit, hooks: WebhookReceiver) -> None:
    """What the real server never says can be said."""
    fake.post({"event": "room_painted", "id": "EV_1", "room": {"name": "r"}})
    await fake.settled()
    assert hooks.requests[0].payload == {"event": "room_painted", "id": "EV_1", "room": {"name": "r"}}
