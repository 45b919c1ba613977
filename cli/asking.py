"""One command and its reply: `ask` publishes it and gives its result, or ends with June's own reason.

Promises: a deadline goes with the command, so that June does not begin it after we gave up. What is `None` in the
data is left out: June fills in its defaults. Nothing is checked here; June names each field that is wrong.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cli.failures import CommandFailed, Detail, ExitCode
from cli.world import World
from messaging.failures import PublishError, RequestTimeout
from messaging.message import Incoming, Outgoing
from schemas.commands import ParticipantRemove
from schemas.envelope import CONTENT_TYPE, Envelope, decode, encode
from schemas.errors import MessageInvalid, TypeUnknown
from schemas.replies import ErrorCode, ReplyError, ReplyFailed, parse_reply
from schemas.topology import COMMANDS

SOURCE = "june-cli"
DEFAULT_TIMEOUT_S = 10.0

Result = Mapping[str, Any]


def ask(
    world: World, type_: str, data: Mapping[str, Any], *, timeout_s: float, id_: str | None = None
) -> Result:
    """The result of a command. Raises CommandFailed. The same `id_` again is the same command."""
    return world.run(asking(world, type_, data, timeout_s=timeout_s, id_=id_))


async def asking(
    world: World, type_: str, data: Mapping[str, Any], *, timeout_s: float, id_: str | None = None
) -> Result:
    """`ask` where a loop runs already."""
    command_id = id_ or str(uuid4())
    timeout = timedelta(seconds=timeout_s)
    async with world.requests(world.amqp_url()) as requests:
        command = command_of(type_, data, id_=command_id, deadline=datetime.now(UTC) + timeout)
        try:
            reply = await requests.request(command, timeout=timeout)
        except RequestTimeout:
            raise _silent(type_, command_id, timeout_s) from None
        except PublishError as error:
            raise CommandFailed(
                ExitCode.UNAVAILABLE,
                "unavailable",
                f"the command could not be handed to RabbitMQ: {error}",
                hint="`june doctor` says what is missing; the same command again is right",
            ) from error
    return result_of(reply, type_)


def command_of(type_: str, data: Mapping[str, Any], *, id_: str, deadline: datetime) -> Outgoing:
    """The command as a message."""
    given = {name: value for name, value in data.items() if value is not None}
    now = datetime.now(UTC)
    envelope = Envelope(id=id_, source=SOURCE, type=type_, time=now, data=given)
    return Outgoing(
        exchange=COMMANDS,
        routing_key=type_,
        body=encode(envelope),
        message_id=id_,
        type=type_,
        content_type=CONTENT_TYPE,
        headers={"deadline": round(deadline.timestamp() * 1000)},
        timestamp=now,
    )


def result_of(reply: Incoming, type_: str = "") -> Result:
    """The result in a reply to a command of this type. Raises CommandFailed."""
    try:
        read = parse_reply(decode(reply.body))
    except (MessageInvalid, TypeUnknown) as error:
        raise CommandFailed(
            ExitCode.REFUSED,
            "internal",
            f"the reply cannot be read: {error}",
            hint="is the worker of another version? compare `june version` there and here",
        ) from error
    if isinstance(read, ReplyFailed):
        raise _refused(read.error, type_)
    return read.result


def ended() -> str:
    """What to do about a session that has ended."""
    return _HINTS[ErrorCode.FAILED_PRECONDITION]


def _refused(error: ReplyError, type_: str) -> CommandFailed:
    # A deadline that had passed is the same to a script as no answer: it was not carried out, and may be now.
    away = error.retryable or error.code is ErrorCode.DEADLINE_EXCEEDED
    return CommandFailed(
        ExitCode.UNAVAILABLE if away else ExitCode.REFUSED,
        error.code.value,
        error.message,
        hint=_HINTS_OF_ONE.get(
            (type_, error.code, "participant" in error.message), _HINTS.get(error.code, "")
        ),
        details=[Detail(field=detail.field, problem=detail.problem) for detail in error.details],
    )


_HINTS: Mapping[ErrorCode, str] = {
    ErrorCode.NOT_FOUND: "`june session list` shows what there is",
    ErrorCode.FAILED_PRECONDITION: "an ended session stays ended: `june session create` makes a new one",
    ErrorCode.UNAVAILABLE: "nothing is half done: try again; `june doctor` says what is away",
    ErrorCode.DEADLINE_EXCEEDED: "the workers are behind: try again, with a longer --timeout-s",
    ErrorCode.UNIMPLEMENTED: "the worker is of another version than this `june`",
    ErrorCode.INTERNAL: "a fault of June's: the worker's log has it",
}

_HINTS_OF_ONE: Mapping[tuple[str, ErrorCode, bool], str] = {
    (ParticipantRemove.TYPE, ErrorCode.NOT_FOUND, True): "`june participants` shows who is there",
}


def _silent(type_: str, command_id: str, timeout_s: float) -> CommandFailed:
    again = f"; to repeat this very command: --idempotency-key {command_id}" if "create" in type_ else ""
    return CommandFailed(
        ExitCode.UNAVAILABLE,
        "timeout",
        f"no reply within {timeout_s:g} s; whether it was carried out is not known",
        hint=f"is a worker running? `june doctor` looks{again}",
    )
