"""What is said while something is waited for."""

import re
from datetime import timedelta

import pytest

from deploy.servers.progress import step
from tests.support.polling import wait_until


def without_seconds(line: str) -> str:
    """How long it took is the machine's affair."""
    return re.sub(r"[\d.]+ s$", "N s", line)


def test_long_step() -> None:
    """A long step says again and again that it goes on, with its seconds, and at its end how long it took."""
    lines: list[str] = []
    with step("building", lines.append, every=timedelta(milliseconds=5)):
        wait_until(lambda: len(lines) >= 3)
    assert without_seconds(lines[0]) == "building … N s"
    assert without_seconds(lines[-1]) == "building: N s"
    assert sum("…" not in line for line in lines) == 1


def test_short_step() -> None:
    """A step that is over soon is one line."""
    lines: list[str] = []
    with step("starting", lines.append):
        pass
    assert [without_seconds(line) for line in lines] == ["starting: N s"]


def test_failed_step() -> None:
    """A step that raises says that it failed, and the error goes on."""
    lines: list[str] = []
    with pytest.raises(OSError, match="disk"), step("unpacking", lines.append):
        raise OSError("disk")
    assert [without_seconds(line) for line in lines] == ["unpacking: failed after N s"]
