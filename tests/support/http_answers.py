"""What an HTTP API answers: a whole answer, or a stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

SOON_S = 30.0


@dataclass(frozen=True)
class Answer:
    """Read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        return str(self.json["code"])


class Told(NamedTuple):
    """One event."""

    id: str
    type: str
    envelope: dict[str, Any]


@dataclass(frozen=True)
class EventStream:
    """Block by block, each within a deadline."""

    answer: aiohttp.ClientResponse

    async def block(self) -> str:
        """The next block, comments included."""
        lines: list[str] = []
        async with asyncio.timeout(SOON_S):
            while line := (await self.answer.content.readuntil(b"\n")).decode().rstrip("\n"):
                lines.append(line)
        return "\n".join(lines)

    async def next(self) -> Told:
        """The next event, which is named by its type."""
        async with asyncio.timeout(SOON_S):
            while (block := await self.block()).startswith(":"):
                pass
        fields = [line.split(": ", 1) for line in block.split("\n")]
        named = dict(fields)
        envelope = json.loads("\n".join(value for name, value in fields if name == "data"))
        assert named["event"] == envelope["type"]
        return Told(named["id"], named["event"], envelope)

    async def types(self, count: int) -> list[str]:
        """The types of the next events, without `june.` and `.v1`."""
        found = [(await self.next()).type for _ in range(count)]
        return [type_.removeprefix("june.").removesuffix(".v1") for type_ in found]
