"""How a command ends badly: an exit code that a script can use, and words that say what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What `june` ends with. Ctrl-C is 130, as in any shell, but for commands that run until it comes."""

    OK = 0
    REFUSED = 1
    """Understood, and answered with no, or found to be wrong."""
    USAGE = 2
    """The command line or the settings are wrong: nothing was begun."""
    UNAVAILABLE = 3
    """Something did not answer. The outcome may be unknown; the same again is right."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One broken rule, by field."""

    field: str
    problem: str


class CommandFailed(Exception):
    """Ends the command. `error`: a short word, one of June's codes where June said no; `hint`: what to do."""

    def __init__(
        self,
        code: ExitCode,
        error: str,
        message: str,
        *,
        hint: str = "",
        details: Sequence[Detail] = (),
    ) -> None:
        """Nothing is printed here."""
        super().__init__(message)
        self.code = code
        self.error = error
        self.hint = hint
        self.details = tuple(details)


def usage(message: str, *, hint: str = "") -> CommandFailed:
    """The command line is wrong, in a way that its parser does not see."""
    return CommandFailed(ExitCode.USAGE, "usage", message, hint=hint)
