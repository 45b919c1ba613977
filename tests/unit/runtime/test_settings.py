"""What a part is told from outside."""

from datetime import timedelta
from pathlib import Path

import pytest

from runtime.settings import DatabaseSettings, IngressSettings, SettingsInvalid, WorkerSettings, load
from runtime.settings.page import render

KEYS = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "a-secret-of-some-length"}
ROOT = Path(__file__).parents[3]


def problems(env: dict[str, str]) -> tuple[str, ...]:
    """What `load` says against an environment."""
    with pytest.raises(SettingsInvalid) as caught:
        load(IngressSettings, env)
    return caught.value.problems


def test_defaults_are_those_of_the_contract() -> None:
    """With the keys alone, everything else has its documented default."""
    ingress, worker = load(IngressSettings, KEYS), load(WorkerSettings, KEYS)
    assert (ingress.ingress_host, ingress.ingress_port, ingress.admin_port) == ("127.0.0.1", 8080, 9101)
    assert ingress.webhook_max_bytes == 1024 * 1024
    assert ingress.amqp_url.get_secret_value() == "amqp://guest:guest@127.0.0.1:5672/"
    assert worker.database_url.get_secret_value() == "sqlite:///june.db"
    assert worker.client_url == worker.livekit_ws_url.get_secret_value() == "ws://127.0.0.1:7880"
    assert (worker.job_lease, worker.bot_token_ttl) == (timedelta(seconds=30), timedelta(minutes=5))
    assert worker.adopt_rooms
    assert worker.stt_enabled
    assert worker.ai_enabled
    assert (worker.stt_language, worker.admin_port) == ("en", 9102)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"JUNE_INGRESS_PORT": "80x"}, "JUNE_INGRESS_PORT: must be a whole number from 0 to 65535"),
        ({"JUNE_INGRESS_PORT": "65536"}, "JUNE_INGRESS_PORT: must be"),
        ({"JUNE_INGRESS_PORT": "-1"}, "JUNE_INGRESS_PORT: must be"),
        ({"JUNE_WEBHOOK_MAX_BYTES": "0"}, "JUNE_WEBHOOK_MAX_BYTES: must be a whole number from 1 up"),
        ({"JUNE_AMQP_URL": "http://me:hush@host/"}, "JUNE_AMQP_URL: must be a URL that begins with amqp://"),
        ({"JUNE_AMQP_URL": "amqp://me:hush@host:port/"}, "JUNE_AMQP_URL: must be"),
        ({"JUNE_AMQP_URL": "amqp://me:hush@host..name/"}, "JUNE_AMQP_URL: must be"),
        (
            {"JUNE_AMQP_URL": "amqp://me:hush@h/?hartbeat=5"},
            "JUNE_AMQP_URL: has an option 'hartbeat' that June",
        ),
        ({"JUNE_AMQP_URL": "amqp://me:hush@h/?heartbeat=0"}, "JUNE_AMQP_URL: its option heartbeat must be a"),
        ({"JUNE_AMQP_URL": "amqp://me:1?hush=2@h/"}, "JUNE_AMQP_URL: has an option that June does not know"),
        ({"JUNE_INGRESS_HOST": "http://x"}, "JUNE_INGRESS_HOST: must be the name or the address"),
        ({"JUNE_LOG_LEVEL": "loud"}, "JUNE_LOG_LEVEL: must be one of"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule_and_not_shown(wrong: dict[str, str], told: str) -> None:
    """A problem begins with the variable, says the rule and an example, and never the value."""
    (problem,) = problems({**KEYS, **wrong})
    assert problem.startswith(told)
    assert "for example" in problem
    assert "hush" not in problem


def test_all_problems_are_told_at_once() -> None:
    """Two wrong variables are two lines."""
    assert len(problems({**KEYS, "JUNE_INGRESS_PORT": "x", "JUNE_ADMIN_PORT": "y"})) == 2


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({}, "LIVEKIT_API_KEY"),
        ({"LIVEKIT_API_KEY": "", "LIVEKIT_API_SECRET": ""}, "LIVEKIT_API_KEY"),
        ({"LIVEKIT_API_KEY": "devkey"}, "LIVEKIT_API_SECRET"),
        ({"LIVEKIT_API_SECRET": "s"}, "LIVEKIT_API_KEY"),
    ],
)
def test_without_a_whole_pair_it_refuses(env: dict[str, str], variable: str) -> None:
    """No key, or half of a pair: the missing variable is named."""
    (problem,) = problems(env)
    assert problem.startswith(f"{variable}: is not set")


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    """NAME_FILE holds the value; newlines at its end are dropped, and other space is kept."""
    (tmp_path / "secret").write_text(" from a file\r\n\n")
    env = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET_FILE": str(tmp_path / "secret")}
    assert load(IngressSettings, env).keys.signing_secret == " from a file"


def test_a_wrong_value_from_a_file_is_named_by_the_file_variable(tmp_path: Path) -> None:
    """The problem points at the variable that the user has set."""
    (tmp_path / "port").write_text("x\n")
    (problem,) = problems({**KEYS, "JUNE_INGRESS_PORT_FILE": str(tmp_path / "port")})
    assert problem.startswith("JUNE_INGRESS_PORT_FILE: ")


def test_a_file_variable_must_lead_to_a_value(tmp_path: Path) -> None:
    """Missing, empty and unreadable files are refused, and nothing confusing is added to it."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    for path, reason in ((tmp_path / "no", "cannot read"), (empty, "is empty"), (binary, "is not UTF-8")):
        (problem,) = problems({"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET_FILE": str(path)})
        assert problem.startswith("LIVEKIT_API_SECRET_FILE: ")
        assert reason in problem


def test_a_value_and_a_file_for_it_are_an_error(tmp_path: Path) -> None:
    """Nobody has to know which of the two would win."""
    (problem,) = problems({**KEYS, "LIVEKIT_API_SECRET_FILE": str(tmp_path)})
    assert problem.startswith("LIVEKIT_API_SECRET: is given twice")


def test_an_empty_variable_is_not_set() -> None:
    """`JUNE_INGRESS_PORT=` means the default."""
    assert load(IngressSettings, {**KEYS, "JUNE_INGRESS_PORT": ""}).ingress_port == 8080


def test_a_keys_file_stands_alone_or_beside_the_pair(tmp_path: Path) -> None:
    """The pair signs, else the file's first; all of them verify."""
    file = tmp_path / "keys.yaml"
    file.write_text("old: old-secret\nnew: 0123456789\n")
    alone = load(IngressSettings, {"LIVEKIT_KEYS_FILE": str(file)}).keys
    assert (alone.signing_key, dict(alone.secrets)) == ("old", {"old": "old-secret", "new": "0123456789"})
    beside = load(IngressSettings, {**KEYS, "LIVEKIT_KEYS_FILE": str(file)}).keys
    assert beside.signing_key == "devkey"
    assert set(beside.secrets) == {"devkey", "old", "new"}


@pytest.mark.parametrize(
    "content",
    ["", "- a\n", "key:\n", "key: {a: b}\n", "key: 'open\n", "devkey: another\n", "n: another\nn: b\n"],
)
def test_a_keys_file_that_is_wrong_is_refused_without_showing_it(content: str, tmp_path: Path) -> None:
    """The variable and what is wrong are named; secrets are not."""
    file = tmp_path / "keys.yaml"
    file.write_text(content)
    (problem,) = problems({**KEYS, "LIVEKIT_KEYS_FILE": str(file)})
    assert problem.startswith("LIVEKIT_KEYS_FILE: ")
    assert "another" not in problem
    assert "a-secret" not in problem


def test_no_secret_is_in_any_repr(tmp_path: Path) -> None:
    """Printing the settings, or the keys, shows neither secrets nor passwords."""
    file = tmp_path / "keys.yaml"
    file.write_text("other: hidden-too\n")
    env = {**KEYS, "LIVEKIT_KEYS_FILE": str(file), "JUNE_AMQP_URL": "amqps://me:hush@broker/june"}
    settings = load(IngressSettings, env)
    shown = f"{settings!r} {settings} {settings.keys!r} {settings.model_dump()}"
    assert "amqps://me:***@broker/june" in shown
    for secret in ("hush", "a-secret", "hidden-too"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://june:it'shush@rabbit/", "amqp://june:***@rabbit/"),
        ('amqp://june:"hush"@rabbit/', "amqp://june:***@rabbit/"),
        ("amqp://june:a hush@rabbit/", "amqp://june:***@rabbit/"),
        ("amqp://june@corp:hush@rabbit/", "amqp://june@corp:***@rabbit/"),
        ("amqp://june:hu@hush@rabbit/", "amqp://june:***@rabbit/"),
        ("amqp://rabbit:5672/v", "amqp://rabbit:5672/v"),
    ],
)
def test_a_password_of_any_characters_is_hidden(url: str, shown: str) -> None:
    """Quotes, spaces and an `@` in user or password are no way around the mask."""
    settings = load(IngressSettings, {**KEYS, "JUNE_AMQP_URL": url})
    assert str(settings.amqp_url) == shown
    assert "hush" not in f"{settings!r} {settings.model_dump()}"


def test_a_password_among_the_options_is_hidden() -> None:
    """However it is spelled."""
    url = "postgresql://june:hush@host/june?PASSWORD=hush"
    settings = load(DatabaseSettings, {"JUNE_DATABASE_URL": url})
    assert str(settings.database_url) == "postgresql://june:***@host/june?PASSWORD=***"


def test_the_page_of_settings_is_up_to_date() -> None:
    """docs/settings.md is what `python -m runtime.settings` prints, and each setting has a description."""
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == render()
    assert "|  |" not in render()
