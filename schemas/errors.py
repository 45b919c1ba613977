"""What is wrong with a message that came in: each field by name, with the rule that it breaks.

Reading a message raises these two errors and no other, whatever the bytes are.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One broken rule. `field` is a path with dots (`stt.enabled`), `problem` completes it to a sentence."""

    field: str
    problem: str


class MessageInvalid(ValueError):
    """A message that is no envelope, or whose data breaks the rules. The same message will never be right.

    `problems` is empty when the body as a whole cannot be read, so that there is no field to name.
    """

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class TypeUnknown(ValueError):
    """A readable envelope of a type that is not among those asked for."""

    def __init__(self, type_: str) -> None:
        super().__init__(f"unknown type: {printable(type_)}")
        self.type = type_


def printable(text: str, *, limit: int = 100) -> str:
    """What a sender wrote, fit to be shown in an error: no control characters, at most `limit` long."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[:limit])
    return shown if len(text) <= limit else shown + "…"
