"""What LiveKit's webhooks say, as facts. Bodies are as the real server posts them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import ParticipantInfo, Room, TrackInfo, TrackSource, TrackType
from livekit.protocol.webhook import WebhookEvent

from schemas.participants import ParticipantKind
from schemas.participants import TrackSource as SourceWord
from schemas.participants import TrackType as TypeWord
from worker.adapters.livekit.webhooks import Ignored, WebhookInvalid, read_webhook
from worker.adapters.livekit.words import kind_word, source_word, state_word, type_word
from worker.domain.facts import (
    ParticipantJoined,
    ParticipantLeft,
    RoomFinished,
    RoomStarted,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.model import ParticipantSid, RoomSid, TrackSid

RECEIVED = datetime(2026, 11, 22, 19, tzinfo=UTC)
CREATED = datetime(2025, 10, 9, 8, 53, 21, tzinfo=UTC)
MADE = CREATED - timedelta(seconds=1)
RM, PA, TR = RoomSid("RM_a"), ParticipantSid("PA_a"), TrackSid("TR_a")
ROOM = {"sid": "RM_a", "name": "june-room"}


def joined(**participant: Any) -> dict[str, Any]:
    return {
        "event": "participant_joined",
        "room": {**ROOM, "turnPassword": "hush", "creationTime": "1760000000"},
        "participant": {"sid": "PA_a", "identity": "user-1", "state": "ACTIVE", **participant},
        "id": "EV_1",
        "createdAt": "1760000001",
    }


def published(event: str = "track_published", **track: Any) -> dict[str, Any]:
    return {
        "event": event,
        "room": ROOM,
        "participant": {"sid": "PA_a", "identity": "user-1"},
        "track": {"sid": "TR_a", **track},
        "createdAt": "1760000001",
    }


def read(payload: dict[str, Any]) -> Any:
    return read_webhook(payload, received_at=RECEIVED)


def test_a_human_has_no_kind() -> None:
    """An absent kind is a standard participant, and absent strings are empty."""
    assert read(joined()) == ParticipantJoined(
        room_sid=RM, room_name="june-room", at=CREATED, sid=PA, identity="user-1", name="",
        kind=ParticipantKind.STANDARD, metadata="", room_created_at=MADE,
    )  # fmt: skip


def test_an_audio_track_has_no_type() -> None:
    """An absent type is audio, an absent source unknown."""
    assert read(published(mimeType="audio/red", name="mic")) == TrackPublished(
        room_sid=RM, room_name="june-room", at=CREATED, sid=TR, participant_sid=PA,
        identity="user-1", type=TypeWord.AUDIO, source=SourceWord.UNKNOWN, name="mic", mime_type="audio/red",
    )  # fmt: skip


@pytest.mark.parametrize(("event", "fact"), [("room_started", RoomStarted), ("room_finished", RoomFinished)])
def test_rooms_start_and_finish(event: str, fact: type[RoomStarted]) -> None:
    """Room events carry the room alone."""
    assert read({"event": event, "room": ROOM, "createdAt": "1760000001"}) == fact(
        room_sid=RM, room_name="june-room", at=CREATED
    )


@pytest.mark.parametrize("event", ["participant_left", "participant_connection_aborted"])
def test_an_aborted_connection_is_a_leave(event: str) -> None:
    """Who died before being in the room is out of it."""
    assert read({**joined(), "event": event}) == ParticipantLeft(
        room_sid=RM, room_name="june-room", at=CREATED, sid=PA, identity="user-1", room_created_at=MADE
    )


def test_an_unpublished_track_is_over() -> None:
    """Of a track that is over, its sid is all that matters."""
    assert read(published("track_unpublished", type=7, source=[])) == TrackUnpublished(
        room_sid=RM,
        room_name="june-room",
        at=CREATED,
        sid=TR,
        participant_sid=PA,
        identity="user-1",
    )


@pytest.mark.parametrize(
    "room", [{"creationTimeMs": "1760000000123"}, {"creation_time_ms": 1760000000123}], ids=["camel", "snake"]
)
def test_when_the_room_was_made(room: dict[str, Any]) -> None:
    """To the millisecond."""
    fact = read({"event": "room_started", "room": {**ROOM, **room}, "createdAt": "1760000001"})
    assert fact.room_created_at == datetime.fromtimestamp(1760000000, UTC) + timedelta(milliseconds=123)


@pytest.mark.parametrize("made", [None, "", "soon", "-5", "9" * 16, 1e12, True, [], {}, -1, 10**30, 0, "²"])
def test_when_the_room_was_made_may_be_unknown(made: Any) -> None:
    """An odd moment is none, and costs no event."""
    room = {"sid": RM, "name": "june-room", "creationTimeMs": made, "creationTime": made}
    assert read({"event": "room_started", "room": room}).room_created_at is None


@pytest.mark.parametrize("made", [{"creationTime": "1760000000"}, {"creation_time": 1760000000}])
def test_older_servers_say_whole_seconds(made: dict[str, Any]) -> None:
    """They have no milliseconds, and zero is as good as none."""
    for more in ({}, {"creationTimeMs": "0"}):
        fact = read({"event": "room_started", "room": {"sid": RM, "name": "june-room", **made, **more}})
        assert fact.room_created_at == datetime.fromtimestamp(1760000000, UTC)


def test_both_spellings_are_read() -> None:
    """Protobuf's JSON may be in snake_case as well."""
    payload = published(mime_type="audio/opus")
    payload["created_at"] = payload.pop("createdAt")
    fact = read(payload)
    assert (fact.mime_type, fact.at) == ("audio/opus", CREATED)


@pytest.mark.parametrize("created", [None, "", "soon", "-5", "9" * 13, 1e9, True, [], {}, -1, 10**30, 0, "²"])
def test_a_moment_that_cannot_be_read_is_the_arrival(created: Any) -> None:
    """`createdAt` is for display: an odd one costs no event."""
    assert read({**joined(), "createdAt": created}).at == RECEIVED


def test_enums_are_names_or_numbers() -> None:
    """Every value that LiveKit's library knows is in the contract's words, by name and by number."""
    for number in ParticipantInfo.Kind.values():
        name = ParticipantInfo.Kind.Name(number)
        assert kind_word(number) == kind_word(name) == name.lower()
    for number in TrackSource.values():
        name = TrackSource.Name(number)
        assert source_word(number) == source_word(name) == name.lower()
    for number in TrackType.values():
        name = TrackType.Name(number)
        assert type_word(number) == type_word(name) == name.lower()
    for number in ParticipantInfo.State.values():
        assert state_word(number) == ParticipantInfo.State.Name(number).lower()


@pytest.mark.parametrize("kind", [5, 99, -1, "ROBOT", "standard", ""])
def test_an_unknown_kind_is_no_voice(kind: Any) -> None:
    """What a later LiveKit may bring is not taken for a human."""
    assert read(joined(kind=kind)).kind is ParticipantKind.BRIDGE


def test_an_unknown_track_type_is_no_audio() -> None:
    """What a later LiveKit may bring is not transcribed."""
    assert read(published(type="HOLOGRAM")).type is TypeWord.DATA


def test_an_unknown_source_is_unknown() -> None:
    """The contract has a word for it."""
    assert read(published(source=77)).source is SourceWord.UNKNOWN


@pytest.mark.parametrize(
    "event", ["egress_started", "egress_updated", "egress_ended", "ingress_started", "ingress_ended",
              "agent_job_started", "agent_job_ended", "room_painted"]
)  # fmt: skip
def test_other_events_are_ignored(event: str) -> None:
    """June has no use for them, whatever they carry."""
    assert read({"event": event, "egressInfo": 5}) == Ignored(event=event)


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(payload: dict[str, Any]) -> None:
        for name in path[:-1]:
            payload = payload[name]
        payload.pop(path[-1])

    return change


def holding(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(payload: dict[str, Any]) -> None:
        for name in path[:-1]:
            payload = payload[name]
        payload[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (without("event"), "event"),
        (holding(7, "event"), "event"),
        (holding("", "event"), "event"),
        (without("room"), "room"),
        (holding([], "room"), "room"),
        (holding({"name": "june-room"}, "room"), "room.sid"),
        (holding({"sid": "RM_a"}, "room"), "room.name"),
        (holding({"sid": 5, "name": "june-room"}, "room"), "room.sid"),
        (holding({"sid": "RM_" + "a" * 1022, "name": "june-room"}, "room"), "room.sid"),
        (holding({"sid": "RM_a", "name": "ü" * 513}, "room"), "room.name"),
        (without("participant"), "participant"),
        (holding("PA_a", "participant"), "participant"),
        (without("participant", "sid"), "participant.sid"),
        (without("participant", "identity"), "participant.identity"),
        (holding(None, "participant", "sid"), "participant.sid"),
        (holding(5, "participant", "name"), "participant.name"),
        (holding({}, "participant", "metadata"), "participant.metadata"),
        (holding(True, "participant", "kind"), "participant.kind"),
        (holding(4.0, "participant", "kind"), "participant.kind"),
        (holding([4], "participant", "kind"), "participant.kind"),
    ],
)
def test_what_cannot_be_read_is_named(change: Callable[[dict[str, Any]], None], field: str) -> None:
    """An event without its ids, or with fields of other types, is refused with the field's name."""
    payload = joined()
    change(payload)
    with pytest.raises(WebhookInvalid) as refused:
        read(payload)
    assert refused.value.reason.startswith(f"{field} ")


@pytest.mark.parametrize("field", ["sid", "type", "mimeType"])
def test_a_track_of_other_types_is_refused(field: str) -> None:
    """The fields of a track are checked as well."""
    wrong: dict[str, Any] = {field: {}}
    with pytest.raises(WebhookInvalid, match=rf"^track\.{field} "):
        read(published(**wrong))


def test_what_no_database_can_hold_is_replaced() -> None:
    """NUL and lone surrogates become U+FFFD; all else stays as it is."""
    fact = read(joined(name="A\x00n\ud800n", metadata="\x00{}", identity="ü\udfff"))
    assert (fact.name, fact.metadata, fact.identity) == ("A\ufffdn\ufffdn", "\ufffd{}", "ü\ufffd")


def test_a_leave_needs_no_identity() -> None:
    """Who left is told by the sid."""
    payload = {**joined(), "event": "participant_left"}
    del payload["participant"]["identity"]
    assert read(payload).identity == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    event=st.sampled_from(["participant_joined", "track_published", "room_started", "participant_left"]),
    room=JSON | st.fixed_dictionaries({"sid": JSON, "name": JSON}),
    participant=JSON | st.fixed_dictionaries({"sid": JSON, "identity": JSON, "kind": JSON, "name": JSON}),
    track=JSON | st.fixed_dictionaries({"sid": JSON, "type": JSON, "source": JSON}),
    created=JSON,
)
def test_any_json_is_read_or_refused(
    event: str, room: Any, participant: Any, track: Any, created: Any
) -> None:
    """Hostile bodies raise nothing but `WebhookInvalid`."""
    payload = {"event": event, "room": room, "participant": participant, "track": track, "createdAt": created}
    with contextlib.suppress(WebhookInvalid):
        assert read(payload)


@given(
    kind=st.sampled_from(ParticipantInfo.Kind.values()),
    name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    names=st.booleans(),
    snake=st.booleans(),
)
def test_what_livekits_own_library_writes_is_read(kind: Any, name: str, names: bool, snake: bool) -> None:
    """Every way of protobuf's JSON gives the same fact."""
    event = WebhookEvent(
        event="participant_joined",
        room=Room(sid="RM_a", name="r"),
        participant=ParticipantInfo(sid="PA_a", identity="i", kind=kind, name=name),
        track=TrackInfo(),
        created_at=1760000001,
    )
    payload = MessageToDict(event, use_integers_for_enums=not names, preserving_proto_field_name=snake)
    assert read(payload) == ParticipantJoined(
        room_sid=RM, room_name="r", at=CREATED, sid=PA, identity="i", name=name,
        kind=ParticipantKind(ParticipantInfo.Kind.Name(kind).lower()), metadata="",
    )  # fmt: skip
