"""`june key`: API keys for the HTTP session API. June is told only their hashes."""

import secrets
from typing import Annotated

from cyclopts import App, Parameter

from cli.failures import usage
from cli.help import RUNNING
from cli.world import Json, World
from runtime.api_keys import Scope, digest_of, read_api_keys

HELP = """\
Make API keys for the HTTP session API.

**Examples**

    june key new backend
    june key hash backend < key.txt
"""
DEFAULT_SCOPES = tuple(str(scope) for scope in Scope if scope is not Scope.SYSTEM_READ)
PREFIX = "june_"
_KEY_BYTES = 32
_KEY_LEAST = 20

Scopes = Annotated[
    list[str],
    Parameter(name="--scope", negative="", help=f"What the key may do; may be repeated: {', '.join(Scope)}."),
]


def register(app: App, world: World) -> None:
    """Add `june key`."""
    key = App(name="key", help=HELP, group=RUNNING, group_commands="Commands")
    app.command(key)
    _new(key, world)
    _hash(key, world)


def _new(app: App, world: World) -> None:
    @app.command
    def new(name: str, /, *, scope: Scopes = list(DEFAULT_SCOPES), as_json: Json = False) -> None:  # noqa: B006
        """Make a key, and print it with the line for JUNE_API_KEYS. The key itself is kept nowhere.

        **Examples**

            june key new backend
            june key new dashboard --scope sessions:read --scope system:read

        Parameters
        ----------
        name
            Who has it, for June's log.
        """
        secret = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        line = line_of(name, secret, scope)
        world.output(as_json=as_json).thing({"key": secret, "line": line})
        world.say("The key goes to its holder; the line to JUNE_API_KEYS, or the file of JUNE_API_KEYS_FILE.")


def _hash(app: App, world: World) -> None:
    @app.command(name="hash")
    def hash_(name: str, /, *, scope: Scopes = list(DEFAULT_SCOPES), as_json: Json = False) -> None:  # noqa: B006
        """Print the line for a key that is there already, read from standard input.

        **Examples**

            june key hash backend < key.txt

        Parameters
        ----------
        name
            Who has it, for June's log.
        """
        secret = world.stdin.readline().strip()
        if len(secret) < _KEY_LEAST:
            raise usage(
                f"the key on standard input is shorter than {_KEY_LEAST} characters",
                hint="a hash does not protect a key that can be guessed: `june key new` makes a good one",
            )
        world.output(as_json=as_json).thing({"line": line_of(name, secret, scope)})


def line_of(name: str, secret: str, scopes: list[str]) -> str:
    """`name sha256-in-hex scope,scope`, as June reads it. Raises CommandFailed where it would not."""
    line = f"{name} {digest_of(secret).hex()} {','.join(dict.fromkeys(scopes))}"
    if unknown := [scope for scope in scopes if scope not in set(Scope)]:
        raise usage(f"there is no scope {unknown[0]}", hint=f"there are {', '.join(Scope)}")
    try:
        (_,) = read_api_keys(line)
    except ValueError:
        raise usage(
            f"{name!r} is no name for a key", hint="visible ASCII characters without a space, at most 100"
        ) from None
    return line
