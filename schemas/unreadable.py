"""A body that the strict reader refuses and that is JSON all the same: what in it is to blame, and whose it is.

JSON's grammar allows half of a surrogate pair as an escape, and any depth. Neither can be stored or sent on, so such
a message is refused; but its sender gets an answer that names the fields.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from schemas.errors import FieldProblem, printable

_HALF = re.compile("[\ud800-\udfff]")
_MOST_PROBLEMS = 32
_MOST_LEVELS = 130

_HALVED = "must not hold half of a surrogate pair"
_TOO_DEEP = "is nested too deep"

_Path = tuple[str, ...]


def read_leniently(body: bytes) -> dict[str, Any] | None:
    """The JSON object that it is by JSON's grammar alone; None for anything else."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def problems_of(body: bytes) -> list[FieldProblem]:
    """Each field that the strict reader stumbles over, by its path inside `data`, or else by its attribute."""
    problems: dict[_Path, str] = {}
    waiting: list[tuple[_Path, Any]] = [((), read_leniently(body))]
    while waiting and len(problems) < _MOST_PROBLEMS:
        path, value = waiting.pop()
        if len(path) > _MOST_LEVELS:
            problems[path[:2]] = _TOO_DEEP
        elif isinstance(value, str):
            if _HALF.search(value):
                problems[path] = _HALVED
        else:
            for name, inner in _inside(value):
                if _HALF.search(name):
                    problems[(*path, name)] = _HALVED
                waiting.append(((*path, name), inner))
    return [FieldProblem(_field(path), problem) for path, problem in sorted(problems.items())]


def _inside(value: Any) -> Iterable[tuple[str, Any]]:
    match value:
        case dict():
            return value.items()
        case list():
            return ((str(index), inner) for index, inner in enumerate(value))
        case _:
            return ()


def _field(path: _Path) -> str:
    inside = path[1:] if path[0] == "data" and len(path) > 1 else path
    return ".".join(printable(name) for name in inside)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
