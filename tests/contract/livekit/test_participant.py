"""The headless participant is heard by those who ask for it: what the end-to-end tests and the demo stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from deploy.servers import LiveKit
from examples.participant import HeadlessParticipant, ParticipantError, joined
from worker.adapters.livekit.tokens import AccessTokens


def tokens(server: LiveKit) -> AccessTokens:
    return AccessTokens(key=server.api_key, secret=server.api_secret, bot_ttl=timedelta(minutes=1))


def person(server: LiveKit, room: str) -> str:
    return tokens(server).person(
        room_name=room, identity="ann", name="Ann", now=datetime.now(UTC), ttl=timedelta(minutes=1)
    )


@asynccontextmanager
async def a_person_and_a_bot(
    server: LiveKit, room: str
) -> AsyncIterator[tuple[HeadlessParticipant, HeadlessParticipant]]:
    """Ann, and a transcriber."""
    listens = tokens(server).transcriber(room_name=room, identity="june-stt-1", now=datetime.now(UTC))
    async with joined(server.ws_url, person(server, room)) as ann, joined(server.ws_url, listens) as bot:
        yield ann, bot


async def test_a_transcriber_hears_a_person_and_is_not_seen(livekit_server: LiveKit, room: str) -> None:
    """June's token for a listening bot lets it hear the voice, and hides it."""
    async with a_person_and_a_bot(livekit_server, room) as (ann, bot):
        track_sid = await ann.speak()
        assert await bot.hear(track_sid) > 0.03
        assert ann.others() == set()
        assert bot.others() == {"ann"}


async def test_silence_is_not_taken_for_a_voice(livekit_server: LiveKit, room: str) -> None:
    """A track that is no more is not heard."""
    async with a_person_and_a_bot(livekit_server, room) as (ann, bot):
        track_sid = await ann.speak()
        await ann.hush(track_sid)
        with pytest.raises(ParticipantError):
            await bot.hear(track_sid, deadline=timedelta(seconds=0.5))


async def test_leaving_twice_is_as_good_as_once(livekit_server: LiveKit, room: str) -> None:
    """Who left is not connected, and may be told to leave again."""
    ann = await HeadlessParticipant.join(livekit_server.ws_url, person(livekit_server, room))
    assert ann.connected
    assert (ann.identity, ann.sid[:3]) == ("ann", "PA_")
    await ann.leave()
    await ann.leave()
    assert not ann.connected
