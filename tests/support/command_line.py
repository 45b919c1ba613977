"""The command line, run to its end in this process, with its output in a pipe."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.main import run
from cli.world import World


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command line ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        """Its lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def only(self) -> Any:
        """Its one line, of a command that must succeed."""
        assert self.code == 0, self
        (thing,) = self.json
        return thing

    @property
    def fields(self) -> dict[str, str]:
        """Of one thing in plain text."""
        return dict(line.split("\t", 1) for line in self.out.splitlines())


def ran(arguments: Sequence[str], *, env: Mapping[str, str], **world: Any) -> Ran:
    """`june` with these arguments, in this environment; `world` is what else there is of it."""
    out, err = io.StringIO(), io.StringIO()
    code = run(list(arguments), World(env=env, out=out, err=err, **world))
    return Ran(code=int(code), out=out.getvalue(), err=err.getvalue())
