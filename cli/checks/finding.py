"""What a check found, and how to mend it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`bad`: June cannot do its work; `warning`: it can, for now; `skipped`: could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: `about` is what was looked at; `mend` what to do, empty where all is well."""

    about: str
    verdict: Verdict
    text: str
    mend: str = ""


def ok(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(about=about, verdict=Verdict.OK, text=text)


def warning(about: str, text: str, *, mend: str) -> Finding:
    """It works, but."""
    return Finding(about=about, verdict=Verdict.WARNING, text=text, mend=mend)


def bad(about: str, text: str, *, mend: str) -> Finding:
    """It does not work."""
    return Finding(about=about, verdict=Verdict.BAD, text=text, mend=mend)


def skipped(about: str, text: str) -> Finding:
    """It was not looked at; something else must be mended first."""
    return Finding(about=about, verdict=Verdict.SKIPPED, text=text)
