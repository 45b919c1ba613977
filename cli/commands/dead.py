"""`june dead`: look into the dead letters, send them back, throw them away.

RabbitMQ has no reading without taking: while a command runs, the letters are held by it, then they are back at
their places, each counted once more as delivered.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from cyclopts import App, Parameter

from cli.dead_letters import Letter, age, check_choice, chosen, headers_of, readable_body
from cli.failures import ExitCode, usage
from cli.help import LOOKING
from cli.output import Column
from cli.world import Json, Positive, World, broker_at, flag
from messaging.browse import MOST, browsing
from messaging.dead_letters import NotReplayable, replay
from messaging.delivery import Delivery
from messaging.failures import Refused, Unroutable, Unsendable
from messaging.publisher import Publisher
from schemas.topology import DEAD_QUEUE

HELP = """\
Look into the dead letters, send them back, throw them away.

**Examples**

    june dead list
    june dead show 3f2a
    june dead replay 3f2a
"""
CONFIRM_WITHIN = timedelta(seconds=10)

COLUMNS = (
    Column(title="key", of=lambda letter: letter["key"], style="bold"),
    Column(title="age", of=lambda letter: age(letter["age_s"])),
    Column(title="reason", of=lambda letter: letter["reason"], style="red"),
    Column(title="type", of=lambda letter: letter["type"]),
    Column(title="attempts", of=lambda letter: letter["attempts"], style="dim", spare=1),
    Column(title="from", of=lambda letter: letter["origin_exchange"], style="dim", spare=2),
    Column(title="error", of=lambda letter: letter["error"]),
)
DONE_COLUMNS = (
    Column(title="key", of=lambda letter: letter["key"], style="bold"),
    Column(title="done", of=lambda letter: letter["done"]),
    Column(title="problem", of=lambda letter: letter["problem"], style="red"),
)

Keys = Annotated[str, Parameter(help="Keys of `june dead list`, or beginnings of them, or message ids.")]
All = Annotated[bool, flag(name="--all")]


def register(app: App, world: World) -> None:
    """Add `june dead`."""
    dead = App(name="dead", help=HELP, group=LOOKING, group_commands="Commands")
    app.command(dead)
    _list(dead, world)
    _show(dead, world)
    _replay(dead, world)
    _drop(dead, world)


def _list(app: App, world: World) -> None:
    @app.command(name="list")
    def list_(*, limit: Annotated[int, Positive] = 100, as_json: Json = False) -> None:
        """Print the dead letters, the oldest first, with reason and age.

        They stay where they are; for the moment of the look nobody else sees them.

        **Examples**

            june dead list
            june dead list --json | jq -r 'select(.reason == "internal") | .key'

        Parameters
        ----------
        limit
            At most so many.
        """
        world.run(_print_list(world, limit=limit, as_json=as_json))


def _show(app: App, world: World) -> None:
    @app.command(usage="june dead show [OPTIONS] KEYS...")
    def show(*keys: Keys, as_json: Json = False) -> None:
        """Print dead letters whole: headers, properties and body. Tokens in it are masked.

        **Examples**

            june dead show 3f2a
            june dead show 3f2a --json | jq .body
        """
        if not keys:
            raise usage("say which: keys of `june dead list`")
        world.run(_print_letters(world, keys, as_json=as_json))


def _replay(app: App, world: World) -> None:
    @app.command(name="replay", usage="june dead replay [OPTIONS] KEYS... | --all")
    def replay_(*keys: Keys, everything: All = False, as_json: Json = False) -> int:
        """Send dead letters back to where they came from, as they were. Safe to repeat: they keep their ids.

        A letter is taken out of the queue when RabbitMQ has confirmed its copy. Exit code 1 when one could not go back.

        **Examples**

            june dead replay 3f2a 91bc
            june dead replay --all

        Parameters
        ----------
        everything
            All that there are.
        """
        check_choice(keys, everything=everything)
        return world.run(_settle(world, keys, everything=everything, as_json=as_json, back=True))


def _drop(app: App, world: World) -> None:
    @app.command(usage="june dead drop [OPTIONS] KEYS... | --all")
    def drop(*keys: Keys, everything: All = False, as_json: Json = False) -> int:
        """Throw dead letters away, for good.

        **Examples**

            june dead drop 3f2a
            june dead drop --all

        Parameters
        ----------
        everything
            All that there are.
        """
        check_choice(keys, everything=everything)
        return world.run(_settle(world, keys, everything=everything, as_json=as_json, back=False))


async def _print_list(world: World, *, limit: int, as_json: bool) -> None:
    async with broker_at(world.amqp_url()) as broker, browsing(broker, DEAD_QUEUE, at_most=limit) as held:
        now = datetime.now(UTC)
        letters = [Letter.of(delivery.message).thing(now) for delivery in held]
    world.output(as_json=as_json).things(letters, COLUMNS, none="No dead letters.")
    if len(letters) == limit:
        world.say(f"There may be more: --limit {min(limit * 10, MOST)}")


async def _print_letters(world: World, keys: Sequence[str], *, as_json: bool) -> None:
    async with broker_at(world.amqp_url()) as broker, browsing(broker, DEAD_QUEUE) as held:
        messages = [delivery.message for delivery in held]
        shown = [messages[place] for place in chosen(messages, keys, everything=False)]
    output = world.output(as_json=as_json)
    for message in shown:
        letter = Letter.of(message).thing(datetime.now(UTC))
        body = readable_body(message.body)
        correlation_id = (
            (message.correlation_id or "").encode(errors="surrogateescape").decode(errors="replace")
        )
        properties = {"content_type": message.content_type, "correlation_id": correlation_id or None}
        output.thing({**letter, **properties, "headers": headers_of(message), "body": body})


async def _settle(
    world: World, keys: Sequence[str], *, everything: bool, as_json: bool, back: bool
) -> ExitCode:
    done: list[dict[str, Any]] = []
    async with broker_at(world.amqp_url()) as broker, browsing(broker, DEAD_QUEUE) as held:
        publisher = Publisher(broker)
        for place in chosen([delivery.message for delivery in held], keys, everything=everything):
            problem = await _sent_back(publisher, held[place]) if back else None
            if problem is None:
                held[place].ack()
            word = "kept" if problem else "sent back" if back else "dropped"
            done.append({"key": Letter.of(held[place].message).key, "done": word, "problem": problem})
    world.output(as_json=as_json).things(done, DONE_COLUMNS, none="No dead letters.")
    return ExitCode.REFUSED if any(letter["problem"] for letter in done) else ExitCode.OK


async def _sent_back(publisher: Publisher, letter: Delivery) -> str | None:
    """Why it could not be; None when it was. Raises PublishError in an outage."""
    try:
        await replay(publisher, letter.message, timeout=CONFIRM_WITHIN)
    except (NotReplayable, Unroutable, Unsendable, Refused) as error:
        return str(error)
    return None
