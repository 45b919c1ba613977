"""Writes the pages that are made from the code: `python -m deploy.docs.pages`. The same code gives the same pages."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cli.docs
import runtime.settings.page
from deploy.docs import http, messages

DOCS = Path(__file__).parents[2] / "docs"

PAGES: Mapping[str, Callable[[], str]] = {
    "messages.md": messages.page,
    "http.md": http.page,
    "settings.md": runtime.settings.page.render,
    "cli.md": cli.docs.render,
}


def main() -> None:
    """Write each, where it is other than it should be."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
