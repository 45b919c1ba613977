"""What each command asks June for, and what it prints of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.fakes import SESSION, SESSION_RESULT, FakeJune, june

PEOPLE = {
    "participants": [
        {
            "sid": "PA_1",
            "identity": "ann",
            "name": "Ann\x1b[31m\n",
            "kind": "standard",
            "state": "active",
            "joined_at": "2026-11-22T19:00:01.000Z",
            "metadata": "",
            "tracks": [
                {
                    "sid": "TR_1",
                    "type": "audio",
                    "source": "microphone",
                    "name": "mic",
                    "muted": True,
                    "mime_type": "audio/opus",
                }
            ],
        }
    ]
}
ROOM = {"name": "june-s-1", "sid": "RM_1", "num_participants": 1}
GUEST = {"access_token": "a.b.c", "identity": "guest-1", "room_name": "r", "livekit_url": "ws://l"}

ASKED: list[tuple[list[str], str, dict[str, Any], dict[str, Any]]] = [
    (["session", "create", "ann"], "june.session.create.v1", {"user_id": "ann"}, SESSION_RESULT),
    (
        [
            *("session", "create", "ann", "--session-id", "s", "--room-name", "r", "--display-name", "Ann"),
            *("--metadata", '{"a": 1}', "--token-ttl-s", "60", "--empty-timeout-s", "1"),
            *("--departure-timeout-s", "2", "--max-participants", "3", "--no-stt", "--language", "de"),
            *("--ai", "--no-speak", "--agent", "x", "--agent", "y"),
        ],
        "june.session.create.v1",
        {
            "user_id": "ann",
            "session_id": "s",
            "room_name": "r",
            "display_name": "Ann",
            "metadata": {"a": 1},
            "token_ttl_s": 60,
            "empty_timeout_s": 1,
            "departure_timeout_s": 2,
            "max_participants": 3,
            "stt": {"enabled": False, "language": "de"},
            "ai": {"enabled": True, "speak": False},
            "agents": [{"agent_name": "x"}, {"agent_name": "y"}],
        },
        SESSION_RESULT,
    ),
    (
        ["session", "get", "s", "--identity", "bob"],
        "june.session.get.v1",
        {"session_id": "s", "identity": "bob"},
        SESSION_RESULT,
    ),
    (
        ["session", "list", "--user-id", "u", "--status", "ended", "--room-name", "r", "--limit", "5"],
        "june.session.list.v1",
        {"user_id": "u", "status": "ended", "room_name": "r", "limit": 5},
        {"sessions": [], "next_cursor": None},
    ),
    (
        ["session", "delete", "s", "--reason", "done"],
        "june.session.delete.v1",
        {"session_id": "s", "reason": "done"},
        {"session": SESSION},
    ),
    (["room", "s"], "june.room.get.v1", {"session_id": "s"}, {"room": ROOM}),
    (["participants", "s"], "june.participant.list.v1", {"session_id": "s"}, PEOPLE),
    (
        ["kick", "s", "bob"],
        "june.participant.remove.v1",
        {"session_id": "s", "identity": "bob"},
        {"removed": True},
    ),
    (
        ["guest-token", "s", "Bob", "--ttl-s", "90", "--no-publish"],
        "june.guest_token.create.v1",
        {
            "session_id": "s",
            "guest_name": "Bob",
            "ttl_s": 90,
            "can_publish": False,
            "can_subscribe": True,
            "can_publish_data": True,
        },
        GUEST,
    ),
]


@pytest.mark.parametrize(
    ("arguments", "type_", "data", "result"), ASKED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_asked_is_what_was_said(
    arguments: list[str], type_: str, data: dict[str, Any], result: dict[str, Any]
) -> None:
    """What was not said is left out, so that June's defaults are June's."""
    fake = FakeJune([result])
    ran = june(*arguments, june=fake)
    assert (ran.code, ran.err) == (0, "")
    assert fake.envelopes[0].type == type_
    assert dict(fake.data) == data


def test_a_created_session_is_printed_with_its_token() -> None:
    """Plain lines: a name, a tab, a value; parts with dots; `-` for nothing."""
    ran = june("session", "create", "ann", june=FakeJune([SESSION_RESULT]))
    assert ran.out.splitlines() == [
        "session_id\ts-1",
        "user_id\tann",
        "room_name\tjune-s-1",
        "livekit_room_sid\tRM_1",
        "status\tactive",
        "origin\tjune",
        "created_at\t2026-11-22T19:00:00.000Z",
        "started_at\t2026-11-22T19:00:01.000Z",
        "ended_at\t-",
        "end_reason\t-",
        'metadata\t{"plan":"gold"}',
        "stt.enabled\tyes",
        "stt.language\ten",
        "ai.enabled\tyes",
        "ai.speak\tno",
        "access_token\ta.b.c",
        "identity\tann",
        "livekit_url\tws://livekit",
        "token_expires_at\t2026-11-22T19:15:00.000Z",
    ]


def test_with_json_the_result_is_june_s_own() -> None:
    """A sample participant can read it from a pipe."""
    assert june("session", "create", "ann", "--json", june=FakeJune([SESSION_RESULT])).json == [
        SESSION_RESULT
    ]


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["plain", "json"])
def test_a_look_at_a_session_shows_no_token_that_was_not_asked_for(more: list[str]) -> None:
    """Whoever looks over the shoulder cannot join."""
    assert "a.b.c" not in june("session", "get", "s-1", *more, june=FakeJune([SESSION_RESULT])).out
    assert "a.b.c" in june("session", "get", "s-1", "--token", *more, june=FakeJune([SESSION_RESULT])).out


def test_a_list_follows_the_pages_up_to_its_limit() -> None:
    """250 are two pages of June's; that there are more is a remark beside the results."""
    pages = [
        {"sessions": [SESSION] * 200, "next_cursor": "c1"},
        {"sessions": [SESSION] * 50, "next_cursor": "c2"},
    ]
    fake = FakeJune(list(pages))
    ran = june("session", "list", "--limit", "250", june=fake)
    assert [(one.data["limit"], one.data.get("cursor")) for one in fake.envelopes] == [
        (200, None),
        (50, "c1"),
    ]
    assert len(ran.out.splitlines()) == 250
    assert "--limit 500" in ran.err


def test_a_list_is_a_line_for_each_session() -> None:
    """Tabs between the values and no header, so that `cut` and `awk` work."""
    ran = june("session", "list", june=FakeJune([{"sessions": [SESSION], "next_cursor": None}]))
    assert ran.out == "s-1\tactive\tann\tjune-s-1\tjune\t2026-11-22T19:00:00.000Z\t-\n"


def test_names_cannot_move_the_cursor() -> None:
    """Whoever chose a name in the room wrote no escape sequence to an operator's terminal, and forged no line."""
    plain = june("participants", "s", june=FakeJune([PEOPLE])).out
    assert plain == (
        "ann\tAnn\ufffd[31m\ufffd\tstandard\tactive\t2026-11-22T19:00:01.000Z\tmicrophone (muted)\tPA_1\n"
    )
    as_json = june("participants", "s", "--json", june=FakeJune([PEOPLE]))
    assert "\x1b" not in as_json.out
    assert as_json.json == PEOPLE["participants"]


def test_a_room_that_livekit_has_no_more_is_no_error() -> None:
    """Nothing on standard output, or `null` as JSON."""
    ran = june("room", "s", june=FakeJune([{"room": None}]))
    assert (ran.code, ran.out) == (0, "")
    assert june("room", "s", "--json", june=FakeJune([{"room": None}])).json == [{"room": None}]
