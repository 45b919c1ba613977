"""What README and docs name is there: files, tests, settings, figures, log lines, links.

`docs/contract.md` is left out: it is written for other services and names nothing of the code.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

import worker.metrics  # noqa: F401 - its figures are registered by the import
from runtime.settings import PARTS
from runtime.settings.loading import variable_of
from schemas.commands import SessionCreate, parse_command
from schemas.envelope import decode
from session_api.metrics import Metrics as ApiMetrics
from webhook_ingress.metrics import Metrics

ROOT = Path(__file__).parents[2]
ADRS = sorted((ROOT / "docs/adr").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "docs/architecture.md", ROOT / "docs/operations.md", *ADRS]
CODE = ("schemas", "messaging", "runtime", "webhook_ingress", "worker", "session_api")

_NAMED = re.compile(r"`([\w./-]+\.(?:py|md|yaml|yml|toml))(?:::(\w+))?`")
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
_EVENT = re.compile(r"`([a-z_]+\.[a-z_]+)`")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _missing(page: Path) -> Iterator[str]:
    for name, function in _NAMED.findall(page.read_text()):
        file = ROOT / name
        if not file.is_file():
            yield name
        elif function and not re.search(rf"^(async )?def {function}\(", file.read_text(), re.MULTILINE):
            yield f"{name}::{function}"


@each_page
def test_files_and_tests_that_a_page_names_are_there(page: Path) -> None:
    """Whoever renames one finds the pages that speak of it."""
    assert list(_missing(page)) == []


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """No link within the project is broken."""
    assert [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_what_a_worker_counts_is_in_operations() -> None:
    """An operator who sees a count finds what it means, and no count is told of that there is not."""
    (row,) = re.findall(
        r"^\| `june_worker_counted_total`.*", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )
    sources = "\n".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    names = set(re.findall(r'(?:Count\(name=|counts\[|counted=\[|counted\.append\()"(\w+)"', sources))
    assert names == set(re.findall(r"`(\w+)`", row)) - {"june_worker_counted_total", "what"}


@each_page
def test_settings_that_a_page_names_are_settings(page: Path) -> None:
    """No page tells of a variable that nothing reads."""
    known = {variable_of(field) for settings in PARTS.values() for field in settings.model_fields.values()}
    assert set(re.findall(r"\b(?:JUNE|LIVEKIT)_[A-Z_]+\b", page.read_text())) - known == set()


def test_figures_that_operations_names_are_counted() -> None:
    """The names are those of /metrics, suffixes included."""
    others = CollectorRegistry()
    Metrics(others)
    ApiMetrics(others)
    told = (generate_latest(REGISTRY) + generate_latest(others)).decode()
    page = (ROOT / "docs/operations.md").read_text()
    named = set(re.findall(r"june_[a-z_]+", page))
    assert {name for name in named if not re.search(rf"^# HELP {name} ", told, re.MULTILINE)} == set()
    assert named


def test_log_lines_that_operations_names_are_written() -> None:
    """Each is an event in the code."""
    source = "".join(path.read_text() for part in CODE for path in (ROOT / part).rglob("*.py"))
    page = (ROOT / "docs/operations.md").read_text()
    events = set(_EVENT.findall(page)) - {"webhook.api_key", "webhook.resource_url_notifier"}
    assert {event for event in events if f'"{event}"' not in source} == set()
    assert events


def test_the_command_to_paste_is_a_command() -> None:
    """The README's first command is valid, and its script is Python."""
    script = re.search(r"<<'END'\n(.*?)\nEND\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert script
    (assigned,) = [
        node.value
        for node in ast.walk(ast.parse(script[1]))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "command"
    ]
    assert isinstance(assigned, ast.Dict)
    command = decode(json.dumps(_constants(assigned) | {"id": "any"}).encode())
    assert isinstance(parse_command(command), SessionCreate)


def _constants(literal: ast.Dict) -> dict[str, Any]:
    """The entries of a dict in source text that need no running."""
    entries: dict[str, Any] = {}
    for key, value in zip(literal.keys, literal.values, strict=True):
        if key is not None and not isinstance(value, ast.Call):
            entries[ast.literal_eval(key)] = ast.literal_eval(value)
    return entries


def test_architecture_shows_each_guarantee_with_its_proof() -> None:
    """Ten rows, each with a file that keeps it and a test."""
    rows = re.findall(r"^\| (\d+) \|.*$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    lines = [
        line for line in (ROOT / "docs/architecture.md").read_text().splitlines() if re.match(r"\| \d", line)
    ]
    assert rows == [str(number) for number in range(1, 11)]
    assert all("::test_" in line.rsplit("|", 2)[1] and ".py`" in line.rsplit("|", 3)[1] for line in lines)


@pytest.mark.parametrize("page", ADRS, ids=lambda page: page.name)
def test_each_decision_has_its_number_and_reasons(page: Path) -> None:
    """The title has the file's number, and there are status, context, decision and consequences."""
    text = page.read_text()
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert all(
        part in text for part in ("\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n")
    )
    assert len({path.name[:4] for path in ADRS}) == len(ADRS)
