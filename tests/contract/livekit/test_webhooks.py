"""What June relies on in LiveKit's webhooks: the same of the fake and of the real server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from aiohttp import web

from schemas.participants import ParticipantKind, TrackSource, TrackType
from tests.contract.livekit.conftest import Contestant
from tests.support.webhook_receiver import Request
from worker.adapters.livekit.server_api import LiveKitServer
from worker.adapters.livekit.webhooks import read_webhook
from worker.domain.facts import (
    ParticipantJoined,
    ParticipantLeft,
    RoomFact,
    RoomFinished,
    RoomStarted,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.model import ParticipantSid, TrackSid

ROOM_FIELDS = {
    "sid", "name", "emptyTimeout", "departureTimeout", "creationTime", "creationTimeMs", "turnPassword",
    "enabledCodecs",
}  # fmt: skip
PERSON_FIELDS = {
    "sid", "identity", "name", "state", "joinedAt", "joinedAtMs", "version", "permission", "clientProtocol",
    "capabilities",
}  # fmt: skip
BOT_FIELDS = (PERSON_FIELDS - {"name"}) | {"kind"}
TRACK_FIELDS = {"sid", "name", "mimeType", "mid", "codecs", "stream", "version", "backupCodecPolicy"}


async def make(server_api: LiveKitServer, room: str) -> str:
    made = await server_api.create_room(
        name=room, empty_timeout_s=60, departure_timeout_s=1, max_participants=None
    )
    return made.sid


def facts(requests: Sequence[Request]) -> list[RoomFact]:
    read = [read_webhook(request.payload, received_at=datetime(1, 1, 1, tzinfo=UTC)) for request in requests]
    return [fact for fact in read if isinstance(fact, RoomFact)]


def fields(request: Request) -> dict[str, set[str]]:
    return {name: set(value) for name, value in request.payload.items() if isinstance(value, dict)}


async def test_a_conversation_is_told_in_order(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """Room, bot, person, tracks; then the same backwards: tracks before their person, people before their room."""
    room_sid = await make(server_api, room)
    there = await server_api.room(room)
    assert there is not None
    bot = await contestant.join_transcriber(room, "june-stt-1")
    ann = await contestant.join(room, "ann", name="Änn")
    mic = await ann.speak(name="mic", source="microphone")
    await contestant.webhooks.until_event("track_published", room_name=room)
    other = await ann.speak(name="other", source="unknown")
    await contestant.webhooks.until_event("track_published", room_name=room, times=2)
    await ann.hush(mic)
    await contestant.webhooks.until_event("track_unpublished", room_name=room)
    await ann.leave()
    contestant.time_passes()
    told = facts(await contestant.webhooks.until_event("room_finished", room_name=room))
    ann_sid, bot_sid = ParticipantSid(ann.sid), ParticipantSid(bot.sid)
    mic_sid, other_sid = TrackSid(mic), TrackSid(other)
    in_room: dict[str, Any] = {"room_sid": room_sid, "room_name": room}
    # Events of tracks do not say when the room was made; the others say what the list of rooms says.
    full: dict[str, Any] = {**in_room, "room_created_at": there.created_at}
    at = [fact.at for fact in told]
    of_ann: dict[str, Any] = {"participant_sid": ann.sid, "identity": "ann"}
    track: dict[str, Any] = {"type": TrackType.AUDIO, "mime_type": "audio/red", **of_ann}
    assert told == [
        RoomStarted(**full, at=at[0]),
        ParticipantJoined(
            **full,
            at=at[1],
            sid=bot_sid,
            identity="june-stt-1",
            name="",
            kind=ParticipantKind.AGENT,
            metadata="",
        ),
        ParticipantJoined(
            **full,
            at=at[2],
            sid=ann_sid,
            identity="ann",
            name="Änn",
            kind=ParticipantKind.STANDARD,
            metadata="",
        ),
        TrackPublished(**in_room, at=at[3], sid=mic_sid, name="mic", source=TrackSource.MICROPHONE, **track),
        TrackPublished(**in_room, at=at[4], sid=other_sid, name="other", source=TrackSource.UNKNOWN, **track),
        TrackUnpublished(**in_room, at=at[5], sid=mic_sid, **of_ann),
        TrackUnpublished(**in_room, at=at[6], sid=other_sid, **of_ann),
        ParticipantLeft(**full, at=at[7], sid=ann_sid, identity="ann"),
        ParticipantLeft(**full, at=at[8], sid=bot_sid, identity="june-stt-1"),
        RoomFinished(**full, at=at[9]),
    ]
    assert there.created_at is not None
    assert all(abs(moment - datetime.now(UTC)) < timedelta(seconds=30) for moment in (*at, there.created_at))
    assert at == sorted(at)


async def test_fields_at_their_default_are_absent(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """Full room and participant in their own events, sids and names alone in a track's; no default is written."""
    await make(server_api, room)
    await contestant.join_transcriber(room, "june-stt-1")
    ann = await contestant.join(room, "ann", name="Änn")
    other = await ann.speak(name="other", source="unknown")
    await contestant.webhooks.until_event("track_published", room_name=room)
    await ann.speak(name="mic", source="microphone")
    await contestant.webhooks.until_event("track_published", room_name=room, times=2)
    # One by one: the tracks that end with their person end in no order.
    await ann.hush(other)
    await ann.leave()
    requests = await contestant.webhooks.until_event("participant_left", room_name=room)
    of_track = {"room": {"sid", "name"}, "participant": {"sid", "identity"}}
    person_gone = PERSON_FIELDS | {"isPublisher", "disconnectReason"}
    assert [(request.event, fields(request)) for request in requests] == [
        ("room_started", {"room": ROOM_FIELDS}),
        ("participant_joined", {"room": ROOM_FIELDS, "participant": BOT_FIELDS}),
        ("participant_joined", {"room": ROOM_FIELDS, "participant": PERSON_FIELDS}),
        ("track_published", {**of_track, "track": TRACK_FIELDS}),
        ("track_published", {**of_track, "track": TRACK_FIELDS | {"source"}}),
        ("track_unpublished", {**of_track, "track": TRACK_FIELDS}),
        ("track_unpublished", {**of_track, "track": TRACK_FIELDS | {"source"}}),
        ("participant_left", {"room": ROOM_FIELDS, "participant": person_gone}),
    ]
    for request in requests:
        assert isinstance(request.payload["createdAt"], str)
        assert request.payload["id"].startswith("EV_")
        assert isinstance(request.payload["room"].get("creationTimeMs", "0"), str)


async def test_a_webhook_is_signed_without_bearer(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """The raw token, good for five minutes, holds the body's hash in padded base64."""
    await make(server_api, room)
    [request] = await contestant.webhooks.until_event("room_started", room_name=room)
    claims = jwt.decode(request.authorization, contestant.api_secret, algorithms=["HS256"])
    assert request.content_type == "application/webhook+json"
    assert claims.keys() == {"iss", "iat", "nbf", "exp", "sha256"}
    assert claims["iss"] == contestant.api_key
    assert claims["exp"] - claims["nbf"] == 300
    assert claims["sha256"] == base64.b64encode(hashlib.sha256(request.body).digest()).decode()


async def test_a_second_one_with_an_identity_replaces_the_first(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """The first one's leave comes before the second one's join, with another sid."""
    await make(server_api, room)
    first = await contestant.join(room, "ann")
    second = await contestant.join(room, "ann")
    told = facts(await contestant.webhooks.until_event("participant_joined", room_name=room, times=2))
    assert [(type(fact), getattr(fact, "sid", None)) for fact in told] == [
        (RoomStarted, None),
        (ParticipantJoined, first.sid),
        (ParticipantLeft, first.sid),
        (ParticipantJoined, second.sid),
    ]


async def test_deleting_a_room_ends_all_in_it_first(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """Tracks, then people, then the room."""
    await make(server_api, room)
    ann = await contestant.join(room, "ann")
    await ann.speak(name="mic", source="microphone")
    await contestant.webhooks.until_event("track_published", room_name=room)
    await server_api.delete_room(room)
    requests = await contestant.webhooks.until_event("room_finished", room_name=room)
    assert [request.event for request in requests] == [
        "room_started", "participant_joined", "track_published",
        "track_unpublished", "participant_left", "room_finished",
    ]  # fmt: skip
    assert [request.payload["participant"]["disconnectReason"] for request in requests[4:5]] == [
        "ROOM_DELETED"
    ]


async def test_a_token_makes_the_room_and_it_comes_back_under_another_sid(
    contestant: Contestant, room: str
) -> None:
    """A room that nobody made starts with its first participant; after its end the same token starts another."""
    ann = await contestant.join(room, "ann")
    await ann.leave()
    # The server's own departure timeout: two seconds.
    contestant.time_passes()
    await contestant.webhooks.until_event("room_finished", room_name=room)
    await contestant.join(room, "ann")
    told = facts(await contestant.webhooks.until_event("participant_joined", room_name=room, times=2))
    assert [type(fact) for fact in told] == [
        RoomStarted, ParticipantJoined, ParticipantLeft, RoomFinished, RoomStarted, ParticipantJoined,
    ]  # fmt: skip
    assert len({fact.room_sid for fact in told}) == 2


async def test_an_agent_keeps_no_room_open(contestant: Contestant, room: str) -> None:
    """A room with bots alone ends; its bots leave first."""
    ann = await contestant.join(room, "ann")
    await contestant.join_transcriber(room, "june-stt-1")
    await ann.leave()
    contestant.time_passes()
    requests = await contestant.webhooks.until_event("room_finished", room_name=room)
    assert [request.event for request in requests[-2:]] == ["participant_left", "room_finished"]
    assert requests[-2].payload["participant"]["disconnectReason"] == "ROOM_CLOSED"


async def test_a_failed_delivery_is_repeated_byte_for_byte_and_holds_the_next_back(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """After 500 the same bytes come a second later; after 503 when `Retry-After` says; order is kept."""
    contestant.webhooks.answer(
        room, web.Response(status=500), web.Response(status=503, headers={"Retry-After": "0"})
    )
    await make(server_api, room)
    await contestant.join(room, "ann")
    requests = await contestant.webhooks.until_event("participant_joined", room_name=room)
    assert [request.event for request in requests] == ["room_started"] * 3 + ["participant_joined"]
    assert len({(request.body, request.authorization) for request in requests[:3]}) == 1
    assert 0.9 < requests[1].at - requests[0].at < 3
    assert requests[2].at - requests[1].at < 0.9


async def test_any_other_answer_is_final(
    contestant: Contestant, server_api: LiveKitServer, room: str
) -> None:
    """A 400 and a 501 count as delivered: the event is never sent again."""
    contestant.webhooks.answer(room, web.Response(status=400), web.Response(status=501))
    await make(server_api, room)
    ann = await contestant.join(room, "ann")
    await ann.leave()
    requests = await contestant.webhooks.until_event("participant_left", room_name=room)
    assert [request.event for request in requests] == [
        "room_started",
        "participant_joined",
        "participant_left",
    ]
