"""What commands print: tables and colour on a terminal, plain lines in a pipe, JSON lines with `--json`.

Promises: plain lines have their values between tabs, no header, and `-` for what is not there; a JSON line is one
whole thing. Control characters never reach the terminal: names and texts were written by anybody.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.failures import CommandFailed, ExitCode
from schemas.times import parse_time

Thing = Mapping[str, Any]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NOTHING = "-"
GAP = 2
WIDE = 40
"""What is wider, an error's text, is folded: nothing else makes room for it."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: `of` gives its value for a thing. The rest is for terminals: `style` is rich's, `short` makes the
    value handier, and of the `spare` ones as many are left out, lowest first, as a narrow terminal asks for."""

    title: str
    of: Callable[[Thing], Any]
    style: str = ""
    short: Callable[[Any], Any] = lambda value: value
    spare: int = 0

    def text(self, thing: Thing) -> str:
        """As a terminal shows it."""
        return cell(self.short(self.of(thing)))


class Output:
    """Where a command's results go. `as_json` wins over everything else."""

    def __init__(self, out: TextIO, *, as_json: bool) -> None:
        """Nothing is printed yet."""
        self._out = out
        self._json = as_json
        self.console = Console(file=out, highlight=False, soft_wrap=True)

    @property
    def is_json(self) -> bool:
        """Whether things are printed as JSON lines."""
        return self._json

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it."""
        return self.console.is_terminal and not self._json

    def thing(self, thing: Thing) -> None:
        """One thing: its fields, a line each; nested ones with dots."""
        if self._json:
            self.json(thing)
        elif self.is_terminal:
            # Not a table: it would cut what is too wide, and half a token lets nobody in.
            fields = list(_flat(thing))
            width = max((len(name) for name, _ in fields), default=0)
            for name, value in fields:
                self.line(Text.assemble((f"{name:<{width}}  ", "dim"), cell(value)))
        else:
            for name, value in _flat(thing):
                self._write(f"{name}\t{cell(value)}")

    def things(self, things: Sequence[Thing], columns: Sequence[Column], *, none: str) -> None:
        """Many things of one kind, a row each; on a terminal `none` says that there are none."""
        if self._json:
            for thing in things:
                self.json(thing)
        elif self.is_terminal:
            self._table(things, columns, none)
        else:
            for thing in things:
                self._write("\t".join(cell(column.of(thing)) for column in columns))

    def line(self, text: str | Text) -> None:
        """One line for a person, cleaned by the caller. Never broken, so that it can be searched and pasted."""
        if isinstance(text, Text):
            self.console.print(text, soft_wrap=True, no_wrap=True)
        else:
            self._write(text)

    def json(self, thing: Any) -> None:
        """A line of JSON."""
        text = json.dumps(thing, ensure_ascii=False, separators=(",", ":"))
        self._write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

    def _table(self, things: Sequence[Thing], columns: Sequence[Column], none: str) -> None:
        if not things:
            self.console.print(Text(none, "dim"))
            return
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
        kept = fitting(columns, things, self.console.width)
        for column in kept:
            table.add_column(column.title, style=column.style, overflow="fold")
        for thing in things:
            table.add_row(*(Text(column.text(thing)) for column in kept))
        self.console.print(table, soft_wrap=False)

    def _write(self, line: str) -> None:
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CommandFailed(
                ExitCode.REFUSED, "output", f"the output cannot be written: {error.strerror}"
            ) from None


def fitting(columns: Sequence[Column], things: Sequence[Thing], width: int) -> list[Column]:
    """Those that are shown on a terminal of this width: all that are not spare, and the others while there is room."""
    widths = {
        column: min(WIDE, max(map(cell_len, (column.title, *(column.text(thing) for thing in things)))))
        for column in columns
    }
    kept = list(columns)
    for column in sorted((one for one in columns if one.spare), key=lambda one: one.spare):
        if sum(widths[one] for one in kept) + GAP * (len(kept) - 1) <= width:
            break
        kept.remove(column)
    return kept


def moment(time: str | None) -> str | None:
    """A time of June's as a person here reads it: `Nov 28 19:00:00`."""
    return None if time is None else f"{parse_time(time).astimezone():%b %d %H:%M:%S}"


def clean(text: str) -> str:
    """The text without what would move a cursor, end a line, or turn the direction of writing."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def cell(value: Any) -> str:
    """A value as one line of text: `-` for nothing, JSON for what has parts."""
    match value:
        case None | "" | []:
            return _NOTHING
        case dict() if not value:
            return _NOTHING
        case str():
            return clean(value)
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return str(value)
        case _:
            return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _flat(thing: Thing, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in thing.items():
        if isinstance(value, Mapping) and value and name != "metadata":
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
