"""Many things in portions, so that no call and no transaction is about all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def portions(things: Sequence[_T], at_most: int) -> Iterator[Sequence[_T]]:
    """The things in their order, `at_most` in each portion."""
    return (things[start : start + at_most] for start in range(0, len(things), at_most))
