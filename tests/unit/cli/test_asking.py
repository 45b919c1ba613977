"""How a command goes out, and how every answer ends: exit code, words, hint."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from messaging.failures import BrokerUnavailable, RequestTimeout
from schemas.errors import FieldProblem
from schemas.replies import ErrorCode, ReplyError
from tests.unit.cli.fakes import SESSION_RESULT, FakeJune, june, refusal

REFUSED = dict.fromkeys(ErrorCode, 1) | {ErrorCode.UNAVAILABLE: 3, ErrorCode.DEADLINE_EXCEEDED: 3}


def test_a_command_is_an_envelope_with_a_deadline() -> None:
    """Routing key and properties say what the body says; June will not begin it after we gave up."""
    fake = FakeJune([SESSION_RESULT])
    assert june("session", "get", "s-1", "--timeout-s", "4", june=fake).code == 0
    ((command,), (envelope,)) = fake.asked, fake.envelopes
    assert (command.exchange, command.routing_key, command.type) == (
        "june.commands",
        envelope.type,
        envelope.type,
    )
    assert (command.message_id, envelope.source, envelope.type) == (
        envelope.id,
        "june-cli",
        "june.session.get.v1",
    )
    assert fake.timeouts == [timedelta(seconds=4)]
    deadline_ms = command.headers["deadline"]
    assert isinstance(deadline_ms, int)
    assert 0 < deadline_ms / 1000 - datetime.now(UTC).timestamp() <= 4


def test_where_rabbitmq_is_comes_from_the_environment() -> None:
    """JUNE_AMQP_URL, as for every part."""
    fake = FakeJune([SESSION_RESULT])
    june("session", "get", "s-1", june=fake, env={"JUNE_AMQP_URL": "amqp://there/"})
    assert fake.urls == ["amqp://there/"]


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_error_of_june_has_its_exit_code(code: ErrorCode) -> None:
    """1 where June said no, 3 where the same again is right; the code and the message are printed, results are not."""
    ran = june("session", "get", "s-1", june=FakeJune([refusal(code, "so it is")]))
    assert (ran.code, ran.out) == (REFUSED[code], "")
    assert ran.err.startswith(f"june: {code.value}: so it is\n")


def test_wrong_fields_are_named() -> None:
    """Each detail is a line of its own."""
    error = ReplyError.of(
        ErrorCode.INVALID_ARGUMENT, "the data is wrong", [FieldProblem("user_id", "is too long")]
    )
    ran = june("session", "create", "x", june=FakeJune([error]))
    assert ran.err.splitlines() == [
        "june: invalid_argument: the data is wrong",
        "  user_id: is too long",
    ]


def test_with_json_an_error_is_json_too() -> None:
    """One line on standard error."""
    ran = june("kick", "s-1", "bob", "--json", june=FakeJune([refusal(ErrorCode.NOT_FOUND)]))
    error = json.loads(ran.err)["error"]
    assert (ran.code, ran.out, error["code"], error["message"]) == (1, "", "not_found", "no")


def test_silence_is_unavailable_and_says_how_to_repeat() -> None:
    """After a create whose outcome is not known the very same command can be given again."""
    fake = FakeJune([RequestTimeout("no reply"), SESSION_RESULT])
    ran = june("session", "create", "ann", june=fake)
    assert ran.code == 3
    key = ran.err.split("--idempotency-key ")[1].split()[0]
    assert june("session", "create", "ann", "--idempotency-key", key, june=fake).code == 0
    first, second = fake.envelopes
    assert (first.id, first.source, first.data) == (second.id, second.source, second.data)


def test_no_broker_is_unavailable() -> None:
    """Exit code 3, with what to do."""
    ran = june("session", "list", june=FakeJune([BrokerUnavailable("gone")]))
    assert ran.code == 3
    assert "june doctor" in ran.err


def test_wrong_settings_are_usage() -> None:
    """Each wrong variable is named; nothing is asked."""
    fake = FakeJune([])
    ran = june("session", "list", june=fake, env={"JUNE_AMQP_URL": "http://x"})
    assert (ran.code, fake.asked) == (2, [])
    assert "JUNE_AMQP_URL" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["sesion"],
        ["session", "get"],
        ["session", "get", "a", "b"],
        ["session", "list", "--limt", "3"],
        ["session", "list", "--limit", "many"],
        ["session", "list", "--limit", "0"],
        ["session", "create", "ann", "--metadata", "{"],
        ["session", "create", "\udcff"],
        ["dead", "show"],
        ["dead", "drop"],
        ["dead", "replay", "3f", "--all"],
        ["watch", "--since", "yesterday"],
    ],
    ids=ascii,
)
def test_a_wrong_command_line_is_usage(arguments: list[str]) -> None:
    """Exit code 2, said on standard error alone, and nothing was asked."""
    fake = FakeJune([])
    ran = june(*arguments, june=fake)
    assert (ran.out, fake.asked) == ("", [])
    assert ran.code == 2
    assert ran.err


def test_a_reply_that_cannot_be_read_is_no_traceback() -> None:
    """A worker of another version is named as the likely cause."""
    for body in (b"", b"[]", b'{"specversion": "1.0", "id": "1", "source": "x", "type": "y", "data": {}}'):
        ran = june("session", "delete", "s-1", june=FakeJune([body]))
        assert (ran.code, ran.out) == (1, "")
        assert "june version" in ran.err


def test_every_hint_names_commands_that_exist() -> None:
    """`june …` in an error can be pasted."""
    fake = FakeJune([refusal(code) for code in ErrorCode])
    said = chain.from_iterable(june("session", "get", "s", june=fake).err.split("`") for _ in ErrorCode)
    named = {words.split(" -")[0] for words in said if words.startswith("june ")}
    assert named
    for command in named:
        assert june(*command.split()[1:], "--help").code == 0


def test_who_is_not_there_is_looked_for_among_those_who_are() -> None:
    """An unknown participant leads to `june participants`, an unknown session to the list."""
    unknown = [refusal(ErrorCode.NOT_FOUND, f"there is no {what}") for what in ("participant", "session")]
    fake = FakeJune(list(unknown))
    hints = [june("kick", "s", "bob", june=fake).err for _ in unknown]
    assert ["june participants" in hints[0], "june session list" in hints[1]] == [True, True]
