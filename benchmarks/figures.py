"""What was measured, against what was hoped for: pure, so that the same rounds give the same report.

Promises: a figure is the median of its rounds (or the value that is given for all of them together), and its spread
their least and greatest. A target that was not met is said, never an error.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any


class Bound(StrEnum):
    """Which side of its target a figure should be on."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, kw_only=True)
class Target:
    """`ratio ≥ 0.25`, `ms ≤ 5`."""

    bound: Bound
    value: float

    def met_by(self, figure: float) -> bool:
        """Whether a figure is on the right side; equal is right."""
        return figure >= self.value if self.bound is Bound.AT_LEAST else figure <= self.value


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the report. `unit` is `ratio`, `ms`, `MB` (a million bytes); `rounds` in the order of measuring."""

    name: str
    unit: str
    rounds: Sequence[float]
    target: Target | None = None
    overall: float | None = None
    """Of all rounds together, where that is not their median: a percentile."""
    details: Mapping[str, float] = field(default_factory=dict)
    """What stands behind it, by name with unit."""

    @property
    def value(self) -> float:
        return median(self.rounds) if self.overall is None else self.overall

    @property
    def met(self) -> bool | None:
        """`None` without a target."""
        return None if self.target is None else self.target.met_by(self.value)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "min": min(self.rounds),
            "max": max(self.rounds),
            "rounds": list(self.rounds),
            "target": None if self.target is None else f"{self.target.bound} {self.target.value:g}",
            "met": self.met,
            "details": dict(self.details),
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed; 0.99 for the 99th."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(0, rank - 1)]


def table(figures: Sequence[Figure]) -> str:
    """For people: one line each, and below it what stands behind it."""
    head = ("", "figure", "spread", "target", "")
    rows = [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(head, widths)]
    for figure, row in zip(figures, rows, strict=True):
        lines.append(_line(row, widths))
        if figure.details:
            behind = ", ".join(f"{name} {_number(value)}" for name, value in figure.details.items())
            lines.append(f"    {behind}")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Without which figures say little."""
    return {"python": platform.python_version(), "system": platform.platform(terse=True)}


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        _with_unit(figure.value, figure.unit),
        f"{_number(min(figure.rounds))} … {_number(max(figure.rounds))}",
        "" if figure.target is None else f"{figure.target.bound} {figure.target.value:g}",
        {True: "met", False: "NOT MET", None: ""}[figure.met],
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _with_unit(value: float, unit: str) -> str:
    return _number(value) if unit == "ratio" else f"{_number(value)} {unit}"


def _number(value: float) -> str:
    """Three digits that count; whole from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
