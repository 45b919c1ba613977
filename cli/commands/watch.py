"""`june watch`: June's events as they happen, or since a time, from the stream that keeps the last days.

Promises: nothing is missed or told twice while it runs, whatever happens to the connection. Takes from nobody: a
stream has any number of readers.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

from cyclopts import App, Parameter
from pydantic_core import from_json
from rich.text import Text

from cli.failures import ExitCode, usage
from cli.happenings import Happening, Teller
from cli.help import LOOKING
from cli.output import Output, clean
from cli.world import PATIENCE, Json, Positive, World, broker_at
from messaging.connection import Broker
from messaging.stream import Offset, StreamReader, tail
from schemas.envelope import Envelope, decode
from schemas.errors import MessageInvalid
from schemas.times import format_time, parse_time
from schemas.topology import EVENTS_LOG

LOOK_EVERY_S = 1.0
_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which events. Times are those of the envelopes."""

    session: str | None = None
    types: tuple[str, ...] = ()
    since: datetime | None = None
    first: bool = False

    @property
    def offset(self) -> Offset:
        """Where in the stream to begin."""
        return "first" if self.first else self.since or "next"

    def wants(self, envelope: Envelope) -> bool:
        """Whether an event is among them."""
        return (
            (self.session is None or envelope.subject == self.session)
            and (not self.types or any(fnmatchcase(envelope.type, type_) for type_ in self.types))
            # A time leads to the whole chunk that holds it.
            and (self.since is None or envelope.time is None or envelope.time >= self.since)
        )


def register(app: App, world: World) -> None:
    """Add `june watch`."""

    @app.command(group=LOOKING)
    def watch(
        *,
        session: str | None = None,
        type_: Annotated[list[str] | None, Parameter(name="--type", negative="")] = None,
        since: str | None = None,
        follow: bool = True,
        limit: Annotated[int | None, Positive] = None,
        as_json: Json = False,
    ) -> int:
        """Print what happens, as it happens, until Ctrl-C: sessions, people, jobs, transcripts and turns.

        With `--json` each line is the event's whole envelope.

        **Examples**

            june watch
            june watch --session s-1 --type 'june.job.*' --type june.turn.completed.v1
            june watch --since 10m --no-follow --json
            june watch --since 2026-11-22T19:00:00Z

        Parameters
        ----------
        session
            Only events of this session.
        type_
            Only events of this type; `*` stands for anything; may be repeated.
        since
            Begin so long ago (`30s`, `10m`, `2h`, `1d`), at a time (RFC 3339), or with the oldest kept (`first`).
        follow
            Go on with what happens now. Without it the command ends at the present.
        limit
            End after so many events.
        """
        wish = Wish(session=session, types=tuple(type_ or ()), **_since(since))
        try:
            world.run(_watch(world, wish, follow=follow, limit=limit, output=world.output(as_json=as_json)))
        except KeyboardInterrupt:
            return ExitCode.OK  # that is how it ends
        return ExitCode.OK


def _since(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    if text == "first":
        return {"first": True}
    try:
        if ago := _AGO.fullmatch(text):
            return {"since": datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})}
        return {"since": parse_time(text)}
    except OverflowError:
        raise usage(
            f"--since {text} is before there were dates", hint="the oldest kept: --since first"
        ) from None
    except ValueError as error:
        raise usage(f"--since {error}, or 30s, 10m, 2h, 1d, or first") from None


async def _watch(world: World, wish: Wish, *, follow: bool, limit: int | None, output: Output) -> None:
    teller, told = Teller(), 0
    async with broker_at(world.amqp_url()) as broker:
        reader = StreamReader(broker, EVENTS_LOG, offset=wish.offset)
        end = None if follow else await tail(broker, EVENTS_LOG, patience=PATIENCE)
        try:
            if end is None or end > 0:
                await reader.open(patience=PATIENCE)
            if output.is_terminal and follow:
                world.say("Watching. Ctrl-C ends it.")
            async with _outages_told(world, broker), aclosing(_bodies(reader, end)) as bodies:
                async for body in bodies:
                    told += _told(output, teller, wish, body)
                    if limit is not None and told >= limit:
                        return
        finally:
            await reader.close()


@asynccontextmanager
async def _outages_told(world: World, broker: Broker) -> AsyncIterator[None]:
    """Whoever looks on while nothing comes must know whether nothing happens."""

    async def look() -> None:
        connected = True
        while True:
            if broker.connected != connected:
                connected = broker.connected
                world.say("RabbitMQ is back." if connected else "RabbitMQ is away; waiting for it.")
            await asyncio.sleep(LOOK_EVERY_S)

    looking = asyncio.create_task(look(), name="outages are told")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _bodies(reader: StreamReader, end: int | None) -> AsyncGenerator[bytes, None]:
    """Up to the message before `end`; for ever without one."""
    if end == 0 or (end is not None and isinstance(reader.position, int) and reader.position >= end):
        return
    async for offset, message in reader:
        yield message.body
        if end is not None and offset >= end - 1:
            return


def _told(output: Output, teller: Teller, wish: Wish, body: bytes) -> bool:
    """Whether it was printed. What came before the time that is asked for is known for latencies all the same."""
    try:
        envelope = decode(body)
    except MessageInvalid:
        return False  # somebody else's, in June's exchange
    happening = teller.tell(envelope)
    if not wish.wants(envelope):
        return False
    if output.is_json:
        output.json(from_json(body))
    else:
        output.line(
            _plain(envelope, happening) if not output.is_terminal else _styled(wish, envelope, happening)
        )
    return True


def _plain(envelope: Envelope, happening: Happening) -> str:
    at = "-" if envelope.time is None else format_time(envelope.time)
    values = (at, envelope.subject or "-", envelope.type, happening.what, _took(happening) or "-")
    return "\t".join(map(clean, values))


def _styled(wish: Wish, envelope: Envelope, happening: Happening) -> Text:
    """Of one session that was asked for nobody needs to be told which it is."""
    took = _took(happening)
    return Text.assemble(
        (f"{_local(envelope.time)}  ", "dim"),
        (f"{clean(envelope.subject or '-'):<28}  " if wish.session is None else "", "dim"),
        (clean(happening.what), happening.style),
        (f"  {took}" if took else "", "bold"),
    )


def _local(time: datetime | None) -> str:
    return "-" if time is None else time.astimezone().strftime("%H:%M:%S.%f")[:-3]


def _took(happening: Happening) -> str:
    if happening.took is None:
        return ""
    return f"{happening.took.total_seconds() * 1000:,.0f} ms {happening.took_for}"
