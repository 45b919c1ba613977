"""What June relies on in LiveKit's server API: the same of the fake and of the real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from livekit import api

from schemas.participants import ParticipantKind, ParticipantState, TrackSource, TrackType
from tests.contract.livekit.conftest import Contestant
from worker.adapters.livekit.server_api import LiveKitServer
from worker.application.failures import LiveKitRefused, LiveKitUnavailable
from worker.application.ports import LiveRoom
from worker.domain.model import Agent


async def make(server_api: LiveKitServer, room: str, *, max_participants: int | None = None) -> LiveRoom:
    return await server_api.create_room(
        name=room, empty_timeout_s=60, departure_timeout_s=7, max_participants=max_participants
    )


async def test_a_room_is_made_as_asked_for(server_api: LiveKitServer, room: str) -> None:
    """The answer has what was asked for, a sid, and now as its time."""
    made = await make(server_api, room, max_participants=3)
    assert (made.name, made.empty_timeout_s, made.departure_timeout_s, made.max_participants, made.metadata) == (
        room, 60, 7, 3, "",
    )  # fmt: skip
    assert made.sid.startswith("RM_")
    assert made.created_at is not None
    assert abs(made.created_at - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_live_room_is_returned_unchanged(server_api: LiveKitServer, room: str) -> None:
    """Making a room twice gives the same room; the second one's options do nothing."""
    made = await make(server_api, room, max_participants=3)
    again = await server_api.create_room(
        name=room, empty_timeout_s=1, departure_timeout_s=1, max_participants=None
    )
    assert again == made


async def test_a_room_is_found_by_name_and_in_the_list(server_api: LiveKitServer, room: str) -> None:
    """By its name, and among all."""
    made = await make(server_api, room)
    assert await server_api.room(room) == made
    assert made in await server_api.rooms()


async def test_rooms_are_found_by_many_names(server_api: LiveKitServer, room: str) -> None:
    """Those of them that are there, and no other; of no names none."""
    names = [f"{room} {number}" for number in range(200)]
    made = [await make(server_api, name) for name in names[::50]]
    other = await make(server_api, f"{room} other")
    assert sorted(one.sid for one in await server_api.rooms(names)) == sorted(one.sid for one in made)
    assert await server_api.rooms([]) == ()
    for one in (*made, other):
        await server_api.delete_room(one.name)


async def test_an_absent_room_is_none(server_api: LiveKitServer, room: str) -> None:
    """No room is no error, and it does not take long to hear of it."""
    async with asyncio.timeout(1):
        assert await server_api.room(room) is None
        assert await server_api.participants(room) == ()
        assert await server_api.remove_participant(room, "nobody") is False
        await server_api.delete_room(room)


async def test_a_deleted_room_is_gone_and_comes_back_as_another(server_api: LiveKitServer, room: str) -> None:
    """Deleting twice is as good as once; the name then gets a new sid."""
    made = await make(server_api, room)
    await server_api.delete_room(room)
    await server_api.delete_room(room)
    assert await server_api.room(room) is None
    assert (await make(server_api, room)).sid != made.sid


async def test_participants_are_told_with_kind_and_tracks(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """People and bots, hidden ones too, in the contract's words."""
    ann = await contestant.join(room, "ann", name="Änn")
    bot = await contestant.join_transcriber(room, "june-stt-1")
    track_sid = await ann.speak(name="mic", source="microphone")
    await contestant.webhooks.until_event("track_published", room_name=room)
    found = {one.identity: one for one in await server_api.participants(room)}
    assert {identity: (one.sid, one.kind, one.state, one.name) for identity, one in found.items()} == {
        "ann": (ann.sid, ParticipantKind.STANDARD, ParticipantState.ACTIVE, "Änn"),
        "june-stt-1": (bot.sid, ParticipantKind.AGENT, ParticipantState.ACTIVE, ""),
    }
    assert found["ann"].joined_at is not None
    assert abs(found["ann"].joined_at - datetime.now(UTC)) < timedelta(seconds=10)
    [track] = found["ann"].tracks
    assert (track.sid, track.type, track.source, track.name, track.muted) == (
        track_sid, TrackType.AUDIO, TrackSource.MICROPHONE, "mic", False,
    )  # fmt: skip
    assert track.mime_type.startswith("audio/")
    assert found["june-stt-1"].tracks == ()


async def test_a_speaker_may_publish_its_microphone(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """June's token for a speaking bot lets it publish, as an agent."""
    bot = await contestant.join_speaker(room, "june-tts-1")
    await bot.speak(name="voice", source="microphone")
    await contestant.webhooks.until_event("track_published", room_name=room)
    [found] = await server_api.participants(room)
    assert (found.kind, [track.source for track in found.tracks]) == (
        ParticipantKind.AGENT, [TrackSource.MICROPHONE],
    )  # fmt: skip


async def test_somebody_is_taken_out_once(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """Removing says whether there was somebody, and leaves the others."""
    await contestant.join(room, "ann")
    await contestant.join(room, "bob")
    assert await server_api.remove_participant(room, "ann") is True
    await contestant.webhooks.until_event("participant_left", room_name=room)
    assert await server_api.remove_participant(room, "ann") is False
    assert [one.identity for one in await server_api.participants(room)] == ["bob"]


async def test_a_removed_participants_token_still_connects(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """LiveKit revokes nothing: whoever is to stay out has to be removed again."""
    await contestant.join(room, "ann")
    await server_api.remove_participant(room, "ann")
    again = await contestant.join(room, "ann")
    assert [one.sid for one in await server_api.participants(room)] == [again.sid]


async def test_an_agent_is_dispatched_once(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """An equal dispatch is enough; another metadata is another one; an absent room is not brought back."""
    await make(server_api, room)
    for metadata in ("a", "a", "b"):
        await server_api.dispatch_agents(room, [Agent(agent_name="helper", metadata=metadata)])
    assert await dispatched(contestant, room) == [("helper", "a"), ("helper", "b")]
    await server_api.delete_room(room)
    with pytest.raises(LiveKitRefused):
        await server_api.dispatch_agents(room, [Agent(agent_name="helper", metadata="a")])
    assert await server_api.room(room) is None


async def test_agents_come_with_the_room(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """They are dispatched as it is made, once, though it is made many times at once."""
    agents = [Agent(agent_name="helper", metadata="a"), Agent(agent_name="scribe")]

    async def make_with_agents() -> None:
        await server_api.create_room(
            name=room, empty_timeout_s=60, departure_timeout_s=7, max_participants=None, agents=agents
        )
        await server_api.dispatch_agents(room, agents)

    await asyncio.gather(*(make_with_agents() for _ in range(10)))
    assert await dispatched(contestant, room) == [("helper", "a"), ("scribe", "")]


async def dispatched(contestant: Contestant, room: str) -> list[tuple[str, str]]:
    """Whom LiveKit has been asked for by name: a room that is made without agents takes any without one."""
    url = contestant.ws_url.replace("ws", "http", 1)
    async with api.LiveKitAPI(url, contestant.api_key, contestant.api_secret) as livekit:
        found = await livekit.agent_dispatch.list_dispatch(room)
    return sorted((one.agent_name, one.metadata) for one in found if one.agent_name)


async def test_a_name_that_is_too_long_is_refused(server_api: LiveKitServer) -> None:
    """256 bytes are the limit; beyond it, asking again is not right."""
    name = "ü" * 128
    await make(server_api, name)
    await server_api.delete_room(name)
    with pytest.raises(LiveKitRefused, match="room name length"):
        await make(server_api, name + "x")


async def test_a_key_that_is_not_accepted_is_an_outage(contestant: Contestant, room: str) -> None:
    """Somebody will put it right, and what was to be done is then still to be done."""
    client = contestant.server_api(secret="another secret, of a decent length")
    try:
        with pytest.raises(LiveKitUnavailable, match="401"):
            await make(client, room)
        with pytest.raises(LiveKitUnavailable):
            await client.check()
    finally:
        await client.close()


async def test_a_check_is_quick(server_api: LiveKitServer) -> None:
    """It passes within its second."""
    async with asyncio.timeout(1):
        await server_api.check()


async def test_many_at_once(server_api: LiveKitServer, room: str) -> None:
    """Commands do not wait for each other: fifty rooms come and go side by side."""
    names = [f"{room}-{number}" for number in range(50)]
    made = await asyncio.gather(*(make(server_api, name) for name in names))
    assert len({one.sid for one in made}) == 50
    await asyncio.gather(*(server_api.delete_room(name) for name in names))
    assert {one.name for one in await server_api.rooms()}.isdisjoint(names)
