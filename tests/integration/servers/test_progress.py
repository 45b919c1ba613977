"""What is said while something is waited for."""

from datetime import timedelta

import pytest

from deploy.servers.progress import step
from tests.support.polling import wait_until


def test_long_step() -> None:
    """A long step says again and again that it goes on, with its seconds, and at its end how long it took."""
    lines: list[str] = []
    with step("building", lines.append, every=timedelta(milliseconds=5)):
        wait_until(lambda: len(lines) >= 3)
    assert lines[0] == "building … 0 s"
    assert lines[-1].startswith("building: ")
    assert sum("…" not in line for line in lines) == 1


def test_short_step() -> None:
    """A step that is over soon is one line."""
    lines: list[str] = []
    with step("starting", lines.append):
        pass
    assert lines == ["starting: 0.0 s"]


def test_failed_step() -> None:
    """A step that raises says that it failed, and the error goes on."""
    lines: list[str] = []
    with pytest.raises(OSError, match="disk"), step("unpacking", lines.append):
        raise OSError("disk")
    assert lines == ["unpacking: failed after 0.0 s"]
