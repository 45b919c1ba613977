"""How help looks: on a terminal panels and colour, in a pipe plain columns without frames or trailing blanks.

Promises: an example is a line that can be copied, the command line that was typed at its left edge but two blanks.
"""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from cyclopts import Group
from cyclopts.help import DefaultFormatter, HelpPanel
from rich.console import Console, ConsoleOptions
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

CONVERSATIONS = Group.create_ordered("Conversations")
LOOKING = Group.create_ordered("Looking after June")
RUNNING = Group.create_ordered("Running June")
OTHERS = Group.create_ordered("Others")

# Rich's own style for code is on black, which is a stain on a light terminal.
THEME = Theme({"markdown.code": "cyan"})
_EXAMPLE = "    "
_PLAIN_INDENT = 2


class Help(DefaultFormatter):
    """Cyclopts' formatter, but for examples, and for pipes."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """A panel of commands, arguments or options."""
        if console.is_terminal:
            super().__call__(console, options, panel)
        elif panel.entries:
            _print_plain(console, panel)

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """What the command does, in Markdown; its examples line by line, none of them broken."""
        markdown = getattr(getattr(description, "primary_renderable", None), "markup", None)
        if not isinstance(markdown, str):
            super().render_description(console, options, description)
            return
        for text in _blocks(markdown):
            if text.startswith(_EXAMPLE):
                _print_example(console, text)
            elif console.is_terminal:
                console.print(Markdown(text))
            else:
                console.print(Text(textwrap.fill(_unmarked(text), console.width)), soft_wrap=True)
            if text != _TITLE:
                console.print()


_TITLE = "**Examples**"


def _blocks(markdown: str) -> Iterator[str]:
    """Paragraphs."""
    yield from filter(None, (block.rstrip() for block in re.split(r"\n\s*\n", markdown)))


def _print_example(console: Console, text: str) -> None:
    for line in text.splitlines():
        console.print(Text(f"  {line.removeprefix(_EXAMPLE)}", "cyan"), soft_wrap=True)


def _print_plain(console: Console, panel: HelpPanel) -> None:
    console.print(Text(f"{_text(panel.title)}:"))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for entry in panel.entries:
        labels = entry.display_labels_with_metavar if panel.format == "parameter" else entry.display_labels
        words = [_text(entry.description)]
        words += [f"[choices: {', '.join(entry.choices)}]"] if entry.choices else []
        words += [f"[default: {entry.default}]"] if entry.default is not None else []
        words += ["[required]"] if entry.required else []
        table.add_row(Text(" " * _PLAIN_INDENT + " ".join(labels)), Text(" ".join(filter(None, words))))
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    console.print(Text("\n".join(line.rstrip() for line in lines)), soft_wrap=True)
    console.print()


def _text(renderable: Any) -> str:
    """Without markup. What is one paragraph of Markdown is its text."""
    markdown = getattr(getattr(renderable, "primary_renderable", renderable), "markup", None)
    text = markdown if isinstance(markdown, str) else getattr(renderable, "plain", str(renderable or ""))
    return _unmarked(text)


def _unmarked(text: str) -> str:
    return " ".join(re.sub(r"[*`]", "", text).split())
