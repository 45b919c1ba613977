"""Settings, database and spool: what can be seen from here without asking a server of LiveKit or RabbitMQ."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile

from cli.checks.finding import Finding, bad, ok, warning
from runtime.redaction import redacted_url
from runtime.settings import PARTS, DatabaseSettings, IngressSettings, SettingsInvalid, load
from runtime.settings.loading import load_one
from worker.adapters.sql.revision import revision
from worker.application.failures import StoreUnavailable

_OPTIONAL = frozenset({"session_api"})
_SQLITE = "sqlite:///"
_SPOOL_DIR = "JUNE_SPOOL_DIR"


def settings(env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each part could start with them."""
    for part, model in PARTS.items():
        try:
            load(model, env)
        except SettingsInvalid as invalid:
            # Who asks June by AMQP alone runs no HTTP API.
            found = warning if part in _OPTIONAL else bad
            for problem in invalid.problems:
                yield found(
                    f"settings of {part}", problem, mend="`june config` shows all, with where each comes from"
                )
        else:
            yield ok(f"settings of {part}", "it can start with them")


def database(env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether it is there, and its tables are those of this version."""
    try:
        url = load(DatabaseSettings, env).database_url.get_secret_value()
    except SettingsInvalid as invalid:
        yield bad("database", "; ".join(invalid.problems), mend="set JUNE_DATABASE_URL")
        return
    if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists():
        yield _new_file(Path(url.removeprefix(_SQLITE)))
        return
    try:
        found = revision(url)
    except StoreUnavailable as error:
        yield bad(
            "database",
            f"{redacted_url(url)}: {error}",
            mend="start it, or set JUNE_DATABASE_URL to where it is",
        )
        return
    if found.unknown:
        mend = "run the version of June that migrated it, or a newer one"
        yield bad("database", f"its tables are of a newer June: {found.found}", mend=mend)
    elif found.found != found.newest:
        mend = "start a worker: it migrates the tables first"
        yield warning("database", f"its tables are at {found.found}, newest is {found.newest}", mend=mend)
    else:
        yield ok("database", f"{redacted_url(url)}, tables at {found.newest}")


def spool(env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the ingress could write to its spool, if it ran here as this user."""
    try:
        folder = Path(load_one(IngressSettings, "spool_dir", env)).absolute()
    except SettingsInvalid as invalid:
        yield bad("spool", "; ".join(invalid.problems), mend=f"set {_SPOOL_DIR}")
        return
    nearest = folder if folder.exists() else folder.parent
    mend = f"let the ingress's user write there, or set {_SPOOL_DIR} to another folder"
    if folder.exists() and not folder.is_dir():
        yield bad("spool", f"{folder} is no folder", mend=mend)
        return
    try:
        with TemporaryFile(dir=nearest) as file:
            file.write(b"june")
            os.fsync(file.fileno())
    except OSError as error:
        yield bad("spool", f"{nearest} cannot be written to: {error.strerror}", mend=mend)
    else:
        yield ok("spool", f"{folder} can be {'written to' if folder.exists() else 'made'}")


def _new_file(path: Path) -> Finding:
    folder = path.absolute().parent
    if os.access(folder, os.W_OK):
        return ok("database", f"{path} is not there yet; the first worker makes it")
    mend = "make the folder and let the worker's user write there, or set JUNE_DATABASE_URL"
    return bad("database", f"{path} is not there, and cannot be made in {folder}", mend=mend)
