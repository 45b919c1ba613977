"""Words for events and dead letters, settings, keys, and the page of the command line."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import docs
from cli.commands.session import COLUMNS
from cli.commands.watch import Wish
from cli.dead_letters import Letter, age, check_choice, chosen, key_of, readable_body
from cli.failures import CommandFailed
from cli.happenings import Teller
from cli.main import run
from cli.output import Output, cell, clean
from cli.world import World
from schemas.envelope import Envelope
from tests.unit.cli.fakes import SESSION, june, letter

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
WHO = {"sid": "PA_1", "identity": "ann"}
KEYS = {
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "a secret that must not be seen anywhere",
    "JUNE_API_DEV": "true",
}


def event(type_: str, data: dict[str, Any], *, ms: int = 0) -> Envelope:
    at = NOW + timedelta(milliseconds=ms)
    return Envelope(id="e", source="june", type=type_, subject="s-1", time=at, data=data)


def job(state: str, attempt: int = 1, reason: str | None = None) -> dict[str, Any]:
    return {"job_id": "j", "participant": WHO, "state": state, "attempt": attempt, "reason": reason}


def test_a_job_is_told_with_how_long_it_took_to_begin() -> None:
    """From `waiting` to `running` of the same attempt."""
    teller = Teller()
    teller.tell(event("june.job.changed.v1", job("waiting")))
    told = teller.tell(event("june.job.changed.v1", job("running"), ms=120))
    assert (told.what, told.took) == ("ann is listened to", timedelta(milliseconds=120))
    teller.tell(event("june.job.changed.v1", job("waiting", 2), ms=200))
    told = teller.tell(event("june.job.changed.v1", job("running", 2), ms=230))
    assert (told.what, told.took) == ("ann is listened to, attempt 2", timedelta(milliseconds=30))


def test_a_turn_is_told_with_how_long_it_took_since_it_was_said() -> None:
    """From the last transcript of its session."""
    teller = Teller()
    teller.tell(event("june.transcript.added.v1", {"participant": WHO, "text": "hello"}))
    told = teller.tell(event("june.turn.completed.v1", {"text": "hi", "spoken": True}, ms=900))
    assert (told.what, told.took) == ("answered and spoken: hi", timedelta(milliseconds=900))


def test_a_participant_is_told_by_its_name_once_that_is_known() -> None:
    """With the identity where it comes, and by the identity alone where it has no name."""
    teller, guest = Teller(), {"sid": "PA_2", "identity": "guest_1"}
    track = {"type": "audio", "source": "screen_share_audio"}
    told = [
        teller.tell(event("june.participant.joined.v1", {"participant": {**guest, "name": "Bob"}})),
        teller.tell(event("june.transcript.added.v1", {"participant": guest, "text": "hello"})),
        teller.tell(event("june.track.published.v1", {"participant": guest, "track": track})),
        teller.tell(event("june.participant.joined.v1", {"participant": {**WHO, "name": ""}})),
        teller.tell(event("june.participant.left.v1", {"participant": guest})),
    ]
    assert [one.what for one in told] == [
        "Bob (guest_1) has come",
        "Bob said: hello",
        "Bob's screen share audio (audio) is on",
        "ann has come",
        "Bob has gone",
    ]


def test_the_end_of_a_session_ends_what_is_remembered_of_it() -> None:
    """A turn after it has nothing to be measured from, and memory stays flat."""
    teller = Teller()
    teller.tell(event("june.transcript.added.v1", {"participant": WHO, "text": "hello"}))
    teller.tell(event("june.session.ended.v1", {"session": {**SESSION, "end_reason": "deleted"}}))
    assert teller.tell(event("june.turn.completed.v1", {"text": "", "spoken": False})).took is None


@pytest.mark.parametrize(
    "data", [{}, {"session": None}, {"participant": 1, "state": 3, "job_id": [], "attempt": 1}]
)
def test_an_event_of_another_version_is_told_by_its_type(data: dict[str, Any]) -> None:
    """Nothing that somebody sends ends `june watch`."""
    for type_ in ("june.job.changed.v1", "june.session.created.v1", "june.new.thing.v9"):
        assert Teller().tell(event(type_, data)).what == type_


def test_filters_of_watch_are_anded() -> None:
    """Session, any of the types with `*`, and not before the time."""
    wish = Wish(session="s-1", types=("june.job.*", "june.turn.completed.v1"), since=NOW)
    assert wish.wants(event("june.job.changed.v1", {}))
    assert wish.wants(event("june.turn.completed.v1", {}))
    assert not wish.wants(event("june.session.ended.v1", {}))
    assert not wish.wants(event("june.job.changed.v1", {}, ms=-1))
    other = Envelope(id="e", source="june", type="june.job.changed.v1", subject="s-2", time=NOW, data={})
    assert not wish.wants(other)


def test_a_dead_letter_is_told_by_its_headers() -> None:
    """With its age; headers of other types than ours are as good as none."""
    message = letter(
        b"{}",
        type_="livekit.x",
        reason="internal",
        error="boom",
        attempts=3,
        failed_at=1000,
        origin_exchange="e",
        origin_routing_key="k",
    )
    thing = Letter.of(message).thing(datetime.fromtimestamp(61, UTC))
    assert (thing["reason"], thing["age_s"], thing["attempts"], thing["origin_exchange"]) == (
        "internal",
        60,
        3,
        "e",
    )
    strange = Letter.of(letter(b"", reason=7, attempts=True, failed_at=10**30)).thing(NOW)
    assert (strange["reason"], strange["attempts"], strange["age_s"]) == ("", None, None)


def test_letters_of_one_message_that_failed_twice_have_keys_of_their_own() -> None:
    """And a key is the same at each look."""
    first, again = letter(b"{}", failed_at=1), letter(b"{}", failed_at=2)
    assert key_of(first) == key_of(letter(b"{}", failed_at=1)) != key_of(again)


def test_letters_are_chosen_by_key_beginning_of_key_or_message_id() -> None:
    """A message id means all letters of that message; all of them need `--all`."""
    letters = [
        letter(b"a", id_="m", failed_at=1),
        letter(b"b", id_="m", failed_at=2),
        letter(b"c", id_="n"),
    ]
    assert chosen(letters, [key_of(letters[2])[:6]], everything=False) == [2]
    assert chosen(letters, ["m"], everything=False) == [0, 1]
    assert chosen(letters, [], everything=True) == [0, 1, 2]
    with pytest.raises(CommandFailed):
        chosen(letters, ["nothing"], everything=False)


@pytest.mark.parametrize(("keys", "everything"), [([], False), (["m"], True), ([""], False)])
def test_which_letters_must_be_said(keys: list[str], everything: bool) -> None:
    """Either some or all: nothing is dropped by a slip."""
    with pytest.raises(CommandFailed):
        check_choice(keys, everything=everything)


def test_no_token_of_a_dead_letter_is_shown() -> None:
    """By its field's name in JSON, by its shape elsewhere."""
    shown = readable_body(json.dumps({"data": {"token": "abc", "list": [{"access_token": "x"}]}}).encode())
    assert shown == {"data": {"token": "***", "list": [{"access_token": "***"}]}}
    assert "eyJhbGciOi" not in readable_body(b"\xff eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_ages_are_told_in_their_largest_unit(seconds: int, told: str) -> None:
    """Cut, not rounded."""
    assert age(seconds) == told


@pytest.mark.parametrize("width", [200, 110, 80, 60])
def test_a_table_keeps_ids_whole_on_a_narrow_terminal(width: int) -> None:
    """Columns that can be spared make room, the least wanted first; what is left is one line for each thing."""
    sessions = [{**SESSION, "session_id": "ses_" + "a" * 24, "room_name": "ses_" + "b" * 24}] * 2
    out = io.StringIO()
    output = Output(out, as_json=False)
    output.console = Console(file=out, force_terminal=True, width=width, no_color=True)
    output.things(sessions, COLUMNS, none="")
    head, *lines = out.getvalue().splitlines()
    assert all("ses_" + "a" * 24 in line for line in lines)
    assert len(lines) == 2
    assert ("origin" in head, "room" in head) == (width >= 110, width >= 110)


def test_a_full_disk_is_said_and_a_closed_pipe_is_not() -> None:
    """Exit code 1 for results that are lost, 0 where whoever read has read enough."""
    for error, code in ((OSError(28, "No space left on device"), 1), (BrokenPipeError(), 0)):

        class Broken(io.StringIO):
            def write(self, _text: str, error: OSError = error) -> int:
                raise error

        err = io.StringIO()
        assert run(["version"], World(env={}, out=Broken(), err=err)) == code
        assert ("No space left" in err.getvalue()) == bool(code)


def test_a_terminal_shows_a_token_whole() -> None:
    """However narrow it is: half a token lets nobody in."""
    out = io.StringIO()
    output = Output(out, as_json=False)
    output.console = Console(file=out, force_terminal=True, width=40, soft_wrap=True, no_color=True)
    output.thing({"access_token": "x" * 300, "a": {"b": None}})
    assert "x" * 300 in out.getvalue()
    assert "a.b" in out.getvalue()


def test_a_cell_is_one_line() -> None:
    """Whatever the value is."""
    assert cell({"a": "b\nc"}) == '{"a":"b\\nc"}'
    values: list[Any] = [None, "", 0, False, []]
    assert [cell(value) for value in values] == ["-", "-", "0", "no", "-"]
    assert clean("a\u202eb\x9b") == "a\ufffdb\ufffd"


def test_a_new_key_s_line_holds_its_hash_alone() -> None:
    """`name sha256 scopes`, as JUNE_API_KEYS wants it; two keys are never the same."""
    ran = june("key", "new", "backend", "--scope", "sessions:read", "--scope", "events:read")
    key = ran.fields["key"]
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert ran.fields["line"] == f"backend {digest} sessions:read,events:read"
    assert june("key", "new", "backend").fields["key"] != key


def test_the_line_of_a_key_that_is_there_is_made_from_standard_input() -> None:
    """So that it is in no list of processes and no shell history."""
    key = june("key", "new", "a").fields["key"]
    assert june("key", "hash", "a", stdin=f"{key}\n").fields["line"].split()[1] == (
        hashlib.sha256(key.encode()).hexdigest()
    )
    assert june("key", "hash", "a", stdin="short\n").code == 2


@pytest.mark.parametrize(
    "arguments", [["two words"], ["a", "--scope", "everything"], [""]], ids=["name", "scope", "empty"]
)
def test_a_line_that_june_could_not_read_is_not_made(arguments: list[str]) -> None:
    """Exit code 2, and no key."""
    ran = june("key", "new", *arguments)
    assert (ran.code, ran.out) == (2, "")


def test_config_shows_every_setting_and_no_secret() -> None:
    """With where it comes from."""
    env = {**KEYS, "JUNE_AMQP_URL": "amqp://u:hidden@there/", "JUNE_JOB_LEASE_S": "45", "JUNE_API_DEV": "1"}
    ran = june("config", "--json", env=env)
    rows = {(row["setting"], row["used_by"]): row for row in ran.json}
    assert ran.code == 0
    assert rows["JUNE_JOB_LEASE_S", "worker, session_api"] | {"used_by": ""} == {
        "setting": "JUNE_JOB_LEASE_S",
        "value": "45",
        "from": "environment",
        "used_by": "",
    }
    assert "hidden" not in ran.out
    assert KEYS["LIVEKIT_API_SECRET"] not in ran.out


def test_config_says_why_a_part_could_not_start() -> None:
    """Exit code 2; a value that could not be read is not shown, for it may be a secret in the wrong place."""
    ran = june("config", env={"LIVEKIT_API_SECRET": "topsecret"})
    assert ran.code == 2
    assert "LIVEKIT_API_KEY" in ran.err
    assert "topsecret" not in ran.out + ran.err


def test_version_is_told_in_a_checkout_too() -> None:
    """And what it runs on."""
    assert {"june", "python", "aiohttp"} <= set(june("version").fields)


def test_the_page_of_the_command_line_is_the_help() -> None:
    """`python -m cli.docs > docs/cli.md` after a change."""
    assert (ROOT / "docs/cli.md").read_text() == docs.render()
