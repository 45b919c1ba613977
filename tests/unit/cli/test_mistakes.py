"""What is typed wrongly: it is said in one style, by a script's means too, and nothing is begun."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from cli.commands.config import own_version
from cli.main import build
from cli.world import World
from deploy.servers import free_ports
from tests.unit.cli.fakes import FakeJune, june

KEY = {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32, "JUNE_API_DEV": "true"}

MISTAKES = [
    (["session", "list", "--limt", "3"], "Did you mean --limit?"),
    (["sesion", "list"], 'Did you mean "session"?'),
    (["session", "create"], "USER_ID"),
    (["session", "create", "ann", "bob"], "'bob' is too many"),
    (["session", "list", "--status", "live"], "active"),
    (["session", "list", "--limit", "0"], "--limit"),
    (["session", "list", "--limit", "many"], "--limit"),
    (["session", "list", "--timeout-s", "nan"], "--timeout-s"),
    (["session", "list", "--timeout-s", "inf"], "--timeout-s"),
    (["session", "list", "--timeout-s=-1"], "--timeout-s"),
    (["watch", "--limit", "0"], "--limit"),
    (["watch", "--since", "yesterday"], "10m"),
    (["watch", "--since", "999999d"], "--since first"),
    (["dead", "list", "--limit", "0"], "--limit"),
    (["dead", "show"], "june dead list"),
    (["dead", "drop"], "--all"),
    (["join", "s", "--for-s", "0"], "--for-s"),
    (["key", "new", "two words"], "two words"),
    (["key", "new", "name", "--scope", "all"], "sessions:read"),
]
SETTINGS = {"JUNE_AMQP_URL": "http://wrong"}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(one) for one, _ in MISTAKES])
def test_a_mistake_is_said_in_plain_lines(arguments: list[str], words: str) -> None:
    """Exit code 2, the first line begins with `june: usage: `, no frame around it, and June is asked nothing."""
    fake = FakeJune([])
    ran = june(*arguments, june=fake)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("june: usage: ")
    assert words in ran.err
    assert not set(ran.err) & set("╭│╰")
    assert fake.asked == []


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in MISTAKES], ids=" ".join)
def test_with_json_a_mistake_is_a_line_of_json(arguments: list[str]) -> None:
    """A script reads one form of error, whoever found it."""
    ran = june(*arguments, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert json.loads(ran.err)["error"]["code"] == "usage"


@pytest.mark.parametrize("arguments", [["session", "list"], ["watch"], ["dead", "list"]], ids=" ".join)
def test_wrong_settings_are_said_with_their_names(arguments: list[str]) -> None:
    """In lines and as JSON; the value is not shown."""
    plain, as_json = june(*arguments, env=SETTINGS), june(*arguments, "--json", env=SETTINGS)
    assert (plain.code, as_json.code) == (2, 2)
    assert "  JUNE_AMQP_URL: " in plain.err
    assert "wrong/" not in plain.err + as_json.err
    (detail,) = json.loads(as_json.err)["error"]["details"]
    assert detail["field"] == "JUNE_AMQP_URL"


def test_a_folder_for_logs_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With its name, before any part is started."""
    (tmp_path / "file").touch()
    first = free_ports(5)
    ports = {
        "JUNE_INGRESS_PORT": str(first),
        "JUNE_API_PORT": str(first + 1),
        "JUNE_ADMIN_PORT": str(first + 2),
    }
    ran = june("up", "--log-dir", str(tmp_path / "file" / "logs"), env={**KEY, **ports})
    assert (ran.code, "--log-dir" in ran.err) == (2, True)


def test_the_version_is_told_as_by_other_programs() -> None:
    """`--version` is one line; `june version` says more."""
    assert june("--version").out == f"{own_version()}\n"
    assert june("version").fields["june"] == own_version()


def _commands(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name in app:
        if not name.startswith("-"):
            yield from _commands(app[name], *path, name)


@pytest.mark.parametrize("path", list(_commands(build(World()))), ids=" ".join)
def test_every_help_has_examples(path: tuple[str, ...]) -> None:
    """In a pipe without frames and trailing blanks; an example is whole, however narrow the terminal."""
    ran = june(*path, "--help")
    assert ran.code == 0
    lines = ran.out.splitlines()
    examples = lines[lines.index("Examples") + 1 :]
    assert any("june" in line for line in examples[: examples.index("")])
    assert not set(ran.out) & set("╭│╰`")
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["june", "dead", ""], {"list", "show", "replay", "drop"}),
        (["june", "session", "create", "ann", "--disp"], {"--display-name"}),
        (["june", "session", "list", "--status", ""], {"created", "active", "ended"}),
    ],
    ids=["commands", "options", "values"],
)
def test_bash_completes_what_is_being_typed(words: list[str], offered: set[str]) -> None:
    """Commands, options and the values of an option that has few."""
    script = build(World()).generate_completion(shell="bash")
    asked = f'COMP_WORDS=("$@"); COMP_CWORD={len(words) - 1}; _june; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ("bash", "-c", f"{script}\n{asked}", "bash", *words),
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == offered


def test_config_masks_the_default_password_and_shows_what_is_right_beside_what_is_wrong() -> None:
    """One wrong setting hides no other; times are as they would be set."""
    ran = june("config", "--json", env={"JUNE_JOB_LEASE_S": "soon", "JUNE_ROOM_GRACE_S": "7"})
    shown = {one["setting"]: one["value"] for one in ran.json}
    assert ran.code == 2
    assert "guest:guest" not in ran.out
    assert (shown["JUNE_JOB_LEASE_S"], shown["JUNE_ROOM_GRACE_S"]) == ("(not read)", "7")
    assert shown["JUNE_RETENTION_DAYS"] == "30"
    assert "worker and session_api cannot start: JUNE_JOB_LEASE_S" in ran.err
