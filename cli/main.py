"""Puts `june` together and runs it: the one place where errors become exit codes.

Promises: 0 done, 1 refused, 2 the command line or the settings are wrong, 3 something did not answer, 130 Ctrl-C.
Results go to standard output alone; errors to standard error, with `--json` as a line of JSON, whoever finds them.
"""

import json
import re
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnusedCliTokensError
from rich.console import Console
from rich.text import Text

from cli.commands import bench, config, dead, doctor, join, key, people, session, up, watch
from cli.failures import CommandFailed, Detail, ExitCode, usage
from cli.help import OTHERS, THEME, Help
from cli.output import clean
from cli.world import World
from messaging.failures import PublishError
from runtime import logs
from runtime.settings import SettingsInvalid

INTERRUPTED = 130

HELP = """\
June gives every conversation a LiveKit room and keeps the speech and AI services in step with it.

Where RabbitMQ and the rest are, environment variables say: `june config` shows them, `june doctor` checks them.
Exit codes: 0 done, 1 refused, 2 wrong command line or settings, 3 something did not answer, 130 Ctrl-C.

**Examples**

    june up --servers
    june session create ann
    june watch
"""


def build(world: World) -> App:
    """The whole command line. Nothing is read or connected."""
    app = App(
        name="june",
        help=HELP,
        help_format="markdown",
        help_formatter=Help(),
        version=config.own_version,
        version_flags=["--version"],
        group_commands=OTHERS,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        console=Console(file=world.out, theme=THEME),
    )
    for module in (session, people, join, watch, dead, doctor, up, bench, key, config):
        module.register(app, world)
    app.register_install_completion_command()
    return app


def run(arguments: Sequence[str], world: World) -> int:
    """Run one command line: its exit code."""
    try:
        return _done(arguments, world)
    except CommandFailed as failed:
        _say(world, failed, as_json="--json" in arguments)
        return failed.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return ExitCode.OK  # whoever read has read enough, as `head` does


def _done(arguments: Sequence[str], world: World) -> int:
    """Its exit code. Raises CommandFailed, whatever it was that was wrong."""
    _check_text(arguments)
    try:
        result = build(world)(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _mistyped(error) from error
    except SettingsInvalid as invalid:
        raise _not_set(invalid.problems) from invalid
    except PublishError as error:
        raise CommandFailed(
            ExitCode.UNAVAILABLE, "unavailable", str(error), hint="`june doctor` looks why"
        ) from error
    return result if isinstance(result, int) else ExitCode.OK


def main() -> None:
    """The console script. Never returns."""
    # The reasons of what goes wrong are told once, by `run`; what libraries remark on the way is not for a person.
    logs.configure("june", log_format="console", level="error")
    code = run(sys.argv[1:], World())
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None  # else the interpreter would flush it once more, and complain
    sys.exit(code)


def _check_text(arguments: Sequence[str]) -> None:
    """The shell hands over any bytes; what is not UTF-8 could be in no message."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise usage(f"{argument!a} is not UTF-8") from None


def _mistyped(error: CycloptsError) -> CommandFailed:
    """What the parser found, in the words of all other errors."""
    command = " ".join(("june", *(error.command_chain or ())))
    match error:
        case UnusedCliTokensError(unused_tokens=[*tokens]):
            text = f"{' '.join(map(repr, tokens))} {'is' if len(tokens) == 1 else 'are'} too many"
        case _:
            text = re.sub(r" Available commands: .*", "", str(error), flags=re.DOTALL).rstrip(".")
            text = text.replace(". must be", ": must be")
    return usage(text, hint=f"`{command} --help` shows how it is written")


def _not_set(problems: Sequence[str]) -> CommandFailed:
    """`problems`: `NAME: what is wrong with it`, and the part before it where there are several."""
    details = [
        Detail(field=name, problem=problem) for name, _, problem in (p.partition(": ") for p in problems)
    ]
    return CommandFailed(
        ExitCode.USAGE,
        "settings",
        "the settings are wrong",
        hint="`june config` shows all of them, with where each comes from",
        details=details,
    )


def _say(world: World, failed: CommandFailed, *, as_json: bool) -> None:
    if as_json:
        details = [{"field": detail.field, "problem": detail.problem} for detail in failed.details]
        error = {"code": failed.error, "message": str(failed), "hint": failed.hint, "details": details}
        world.say(json.dumps({"error": error}))
        return
    console = Console(file=world.err, highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"june: {failed.error}: ", "bold red"), clean(str(failed))))
    for detail in failed.details:
        console.print(Text(clean(f"  {detail.field}: {detail.problem}")))
    if failed.hint:
        console.print(Text(f"  → {failed.hint}", "dim"))
