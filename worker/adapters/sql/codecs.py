"""How a value of the domain stands in a column, the same in both databases.

Promises: what is written reads back equal. Moments and durations are whole microseconds in a BIGINT, which is as exact
as `datetime` is; moments come back in UTC. Enumerations are their words, structures compact JSON.
Refuses: moments without a time zone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from worker.domain.model import Agent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec:
    """`encode` makes a value that both drivers take; `decode` takes back what either gives. Neither sees `None`."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


@lru_cache(maxsize=256)
def moment_us(moment: datetime) -> int:
    """Microseconds since 1970 in UTC. One event writes the same moment half a dozen times."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment_of(moment_us: int) -> datetime:
    """The inverse of `moment_us`, in UTC."""
    return _EPOCH + timedelta(microseconds=moment_us)


def words(kind: type[StrEnum]) -> Codec:
    """An enumeration by its words."""
    return Codec(encode=str, decode={member.value: member for member in kind}.__getitem__)


def compact_json(value: object) -> str:
    """JSON without spaces; text stays readable."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _agents_json(agents: tuple[Agent, ...]) -> str:
    return compact_json([[agent.agent_name, agent.metadata] for agent in agents]) if agents else "[]"


def _agents_of(text: str) -> tuple[Agent, ...]:
    return (
        tuple(Agent(agent_name=name, metadata=metadata) for name, metadata in json.loads(text))
        if text != "[]"
        else ()
    )


def _json_of(value: Mapping[str, Any]) -> str:
    return compact_json(dict(value))


MOMENT = Codec(encode=moment_us, decode=moment_of)
DURATION = Codec(encode=lambda length: length // _MICROSECOND, decode=lambda us: timedelta(microseconds=us))
FLAG = Codec(encode=bool, decode=bool)
AGENTS = Codec(encode=_agents_json, decode=_agents_of)
JSON = Codec(encode=_json_of, decode=json.loads)
