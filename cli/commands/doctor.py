"""`june doctor`: looks at everything that June needs, and says how to mend what is wrong."""

from collections.abc import AsyncIterator

from cyclopts import App
from rich.table import Table
from rich.text import Text

from cli.checks.finding import Finding, Verdict, bad
from cli.failures import CommandFailed, ExitCode
from cli.help import LOOKING
from cli.output import Output, clean
from cli.world import Json, World, broker_at
from messaging.failures import PublishError
from runtime.settings import SettingsInvalid

ABOUT_WIDTH = len("settings of webhook_ingress")
STYLES = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.BAD: ("✗", "bold red"),
    Verdict.SKIPPED: ("-", "dim"),
}


def register(app: App, world: World) -> None:
    """Add `june doctor`."""

    @app.command(group=LOOKING)
    def doctor(*, as_json: Json = False) -> int:
        """Check settings, RabbitMQ, LiveKit, its webhooks, the database and the spool; say how to mend each.

        For the webhooks a room `june-doctor-…` is made in LiveKit, and closed; where rooms of others are adopted, it
        stays in the list of sessions as an ended one. Policies are seen by RabbitMQ's management API, where
        JUNE_RABBITMQ_MANAGEMENT_URL says where that is. Exit code 1 when something is wrong.

        **Examples**

            june doctor
            june doctor --json | jq 'select(.verdict == "bad")'
        """
        return world.run(_examine(world, world.output(as_json=as_json)))


async def _examine(world: World, output: Output) -> ExitCode:
    worst = ExitCode.OK
    async for finding in _findings(world):
        _print(output, finding)
        if finding.verdict is Verdict.BAD:
            worst = ExitCode.REFUSED
    return worst


async def _findings(world: World) -> AsyncIterator[Finding]:
    # What they need takes a second to import, which no other command should wait for.
    from cli.checks import places  # noqa: PLC0415

    for check in (places.settings, places.database, places.spool):
        for finding in check(world.env):
            yield finding
    async for finding in _servers(world):
        yield finding


async def _servers(world: World) -> AsyncIterator[Finding]:
    from cli.checks.livekit import livekit  # noqa: PLC0415
    from cli.checks.policies import policies  # noqa: PLC0415
    from cli.checks.rabbitmq import rabbitmq  # noqa: PLC0415

    try:
        async with broker_at(world.amqp_url()) as broker:
            try:
                async for finding in rabbitmq(broker):
                    yield finding
                yield await policies(world.env)
            except PublishError as error:
                yield bad("RabbitMQ", str(error), mend="look into its log; then `june doctor` again")
            # A webhook that an alarm keeps from being published would be blamed on LiveKit.
            async for finding in livekit(world.env, broker if broker.blocked is None else None):
                yield finding
    except CommandFailed as failed:
        yield bad("RabbitMQ", str(failed), mend=failed.hint)
        async for finding in livekit(world.env, None):
            yield finding
    except SettingsInvalid as invalid:
        yield bad("RabbitMQ", "; ".join(invalid.problems), mend="set JUNE_AMQP_URL")
        async for finding in livekit(world.env, None):
            yield finding


def _print(output: Output, finding: Finding) -> None:
    thing = {
        "about": finding.about,
        "verdict": finding.verdict.value,
        "text": finding.text,
        "mend": finding.mend,
    }
    if output.is_json:
        output.json(thing)
    elif output.is_terminal:
        output.console.print(_lines(finding), soft_wrap=False)
    else:
        output.line("\t".join(clean(value or "-") for value in thing.values()))


def _lines(finding: Finding) -> Table:
    """Broken at its own margin, where the terminal is narrow."""
    sign, style = STYLES[finding.verdict]
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(width=ABOUT_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(sign, style), Text(finding.about, "bold"), Text(clean(finding.text)))
    if finding.mend:
        table.add_row("", "", Text(f"→ {clean(finding.mend)}", style))
    return table
