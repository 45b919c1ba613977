"""What `june doctor` says about a database and a spool, in each state that they may be in."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cli.checks.finding import Finding, Verdict
from cli.checks.places import database, settings, spool


def looked_at(path: Path) -> Finding:
    (finding,) = database({"JUNE_DATABASE_URL": f"sqlite:///{path}"})
    return finding


def at_revision(path: Path, revision: str | None) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num text)")
        if revision is not None:
            connection.execute("insert into alembic_version values (?)", [revision])
    connection.close()


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """The first worker makes it; without a folder for it that would fail."""
    assert looked_at(tmp_path / "june.db").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []
    assert looked_at(tmp_path / "nowhere" / "june.db").verdict is Verdict.BAD


@pytest.mark.parametrize(
    ("revision", "verdict"),
    [(None, Verdict.WARNING), ("0001", Verdict.WARNING), ("9999", Verdict.BAD)],
    ids=["empty", "older", "newer"],
)
def test_tables_of_another_version_are_told(tmp_path: Path, revision: str | None, verdict: Verdict) -> None:
    """Older ones are migrated by a worker; newer ones are refused by it. The look migrates nothing."""
    path = tmp_path / "june.db"
    at_revision(path, revision)
    for _ in range(2):
        found = looked_at(path)
        assert (found.verdict, bool(found.mend)) == (verdict, True)


def test_a_file_that_is_no_database_is_bad(tmp_path: Path) -> None:
    """And said, not raised."""
    path = tmp_path / "june.db"
    path.write_text("no database at all " * 100)
    assert looked_at(path).verdict is Verdict.BAD


def test_a_spool_is_looked_at_without_a_trace(tmp_path: Path) -> None:
    """A folder that is there can be written to, one that is not can be made; a file can not be a spool."""
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    for name, verdict in (("there", Verdict.OK), ("new", Verdict.OK), ("file", Verdict.BAD)):
        (finding,) = spool({"JUNE_SPOOL_DIR": str(tmp_path / name)})
        assert finding.verdict is verdict
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
    assert list((tmp_path / "there").iterdir()) == []


def test_each_part_is_told_whether_it_could_start() -> None:
    """With the variable that is wrong."""
    found = {finding.about: finding for finding in settings({})}
    assert found["settings of worker"].verdict is Verdict.BAD
    assert "LIVEKIT_API_KEY" in found["settings of worker"].text


def test_an_http_api_that_could_not_start_is_no_fault_of_those_who_run_none() -> None:
    """A warning: June does its work without it."""
    found = {finding.about: finding for finding in settings({})}
    assert found["settings of session_api"].verdict is Verdict.WARNING
