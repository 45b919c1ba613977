"""Old and new run together: what was written once is written so for ever, and can be read for ever."""

import pytest

from schemas.commands import COMMANDS, parse_command
from schemas.envelope import Envelope, decode, encode
from schemas.model import Message, session_message
from schemas.registry import REGISTRY, RESULTS, Direction, parse_published
from schemas.replies import ReplyFailed, ReplyOk, parse_reply
from schemas.reports import REPORTS, parse_report
from tests.unit.schemas.examples import EXAMPLES, GOLDEN, NOW, OUTCOMES, PUBLISHED, ROOM, golden_bytes

_BY_COMMAND = {type_.removeprefix("june.").removesuffix(".v1"): type_ for type_ in COMMANDS}


def test_every_type_has_a_golden_file() -> None:
    """No message type, and no result of a command, is without its golden file."""
    files = {path.stem for path in GOLDEN.glob("*.json")}
    wanted = {name for name, entry in REGISTRY.items() if entry.direction is not Direction.REPLY}
    assert files == wanted | {f"june.reply.v1.{name}" for name in (*_BY_COMMAND, "error")}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_bytes_stay_the_same(name: str) -> None:
    """Today's models write exactly the bytes of the golden file."""
    assert encode(EXAMPLES[name]) == golden_bytes(name)


@pytest.mark.parametrize("message", PUBLISHED, ids=lambda message: message.TYPE)
def test_a_session_message_is_its_golden_file(message: Message) -> None:
    """The short way to a message's bytes gives the bytes of the golden file."""
    number = PUBLISHED.index(message) + 1
    made = session_message(
        message, id=f"m-{number}", time=NOW, session_id="s-1", room_name=ROOM, sequence=number
    )
    assert made == golden_bytes(message.TYPE)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_envelope_survives_the_wire(name: str) -> None:
    """Decoding and encoding again gives the same bytes."""
    assert encode(decode(golden_bytes(name))) == golden_bytes(name)


@pytest.mark.parametrize("message", PUBLISHED, ids=lambda message: message.TYPE)
def test_consumers_read_what_june_publishes(message: object) -> None:
    """Each event and pipeline message is read back as the model that it was written from."""
    assert parse_published(decode(golden_bytes(type(message).TYPE))) == message  # type: ignore[attr-defined] # parametrised


@pytest.mark.parametrize("type_", sorted(_BY_COMMAND.values()))
def test_commands_of_the_first_version_are_read(type_: str) -> None:
    """A command with every field that it may have is valid, and none of the fields is lost."""
    envelope = decode(golden_bytes(type_))
    read = parse_command(envelope)
    assert isinstance(read, COMMANDS[type_])
    assert read.model_dump(mode="json", exclude_unset=True) == envelope.data
    assert set(envelope.data) == set(type(read).model_fields)


@pytest.mark.parametrize("type_", sorted(REPORTS))
def test_reports_of_the_first_version_are_read(type_: str) -> None:
    """A report with every field that it may have is valid, and none of the fields is lost."""
    envelope = decode(golden_bytes(type_))
    read = parse_report(envelope)
    assert isinstance(read, REPORTS[type_])
    assert set(envelope.data) == set(type(read).model_fields)
    assert read.model_dump(mode="json") == envelope.data


@pytest.mark.parametrize("name", sorted(_BY_COMMAND))
def test_results_are_read(name: str) -> None:
    """A successful reply holds the result model of its command."""
    reply = parse_reply(decode(golden_bytes(f"june.reply.v1.{name}")))
    assert isinstance(reply, ReplyOk)
    assert RESULTS[_BY_COMMAND[name]].model_validate(reply.result) == OUTCOMES[name]


def test_errors_are_read() -> None:
    """A failed reply says ok false, and has no result beside its error."""
    envelope: Envelope = decode(golden_bytes("june.reply.v1.error"))
    reply = parse_reply(envelope)
    assert isinstance(reply, ReplyFailed)
    assert reply.error == OUTCOMES["error"]
    assert list(envelope.data) == ["ok", "command_id", "error"]
