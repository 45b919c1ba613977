"""`june key`: API keys for the HTTP session API. June is told only their hashes."""

import hashlib
import re
import secrets
from typing import Annotated

from cyclopts import App, Parameter

from cli.failures import usage
from cli.world import Json, World

SCOPES = ("sessions:read", "sessions:write", "events:read", "system:read")
DEFAULT_SCOPES = ("sessions:read", "sessions:write", "events:read")
PREFIX = "june_"
_KEY_BYTES = 32
_KEY_LEAST = 20

# What separates the parts of a line cannot be inside of one; the name becomes a part of the commands' source.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

Scopes = Annotated[
    list[str],
    Parameter(
        name="--scope", negative="", help=f"What the key may do; may be repeated: {', '.join(SCOPES)}."
    ),
]


def register(app: App, world: World) -> None:
    """Add `june key`."""
    key = App(name="key", help="Make API keys for the HTTP session API.")
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
    """`name sha256-in-hex scope,scope`. Raises CommandFailed."""
    if not _NAME.fullmatch(name):
        raise usage("the name of a key is 1 to 64 letters, digits, dots, underscores and hyphens")
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise usage(f"no such scope: {', '.join(unknown)}", hint=f"there are {', '.join(SCOPES)}")
    return f"{name} {hashlib.sha256(secret.encode()).hexdigest()} {','.join(dict.fromkeys(scopes))}"
