"""Which dataclass stands in which table, and the way there and back.

Promises: every field of a dataclass has a column of its name (checked at import), and an entity that was written reads
back equal. Refuses: to know any statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Table

from worker.adapters.sql import tables
from worker.adapters.sql.codecs import Codec
from worker.application.ports import Answer, DueTimer, OutboxMessage, RoomErrand
from worker.domain.copies import restore
from worker.domain.model import Job, Participant, Removal, Room, Session, Track, TurnRef

E = TypeVar("E")


class Shape(Generic[E]):
    """One dataclass in one table; `columns` are in the order of its fields, as `entity` wants them."""

    def __init__(self, kind: type[E], table: Table) -> None:
        self.table = table
        self.columns: tuple[Column[Any], ...] = tuple(table.c[field.name] for field in fields(kind))  # type: ignore[arg-type]
        self._kind = kind
        self._names = tuple(column.name for column in self.columns)
        self._values = attrgetter(*self._names)
        codecs: list[Codec | None] = [column.info["codec"] for column in self.columns]
        self._encode = {name: codec.encode for name, codec in zip(self._names, codecs, strict=True) if codec}
        self._encoders = [(place, codec.encode) for place, codec in enumerate(codecs) if codec]
        self._decoders = [
            (name, codec.decode) for name, codec in zip(self._names, codecs, strict=True) if codec
        ]

    def values(self, entity: E) -> list[Any]:
        """What the drivers bind, in the order of `columns`."""
        values = list(self._values(entity))
        for place, encode in self._encoders:
            if values[place] is not None:
                values[place] = encode(values[place])
        return values

    def row(self, entity: E) -> dict[str, Any]:
        """The same by column name."""
        return dict(zip(self._names, self.values(entity), strict=True))

    def key(self, entity: E) -> dict[str, Any]:
        """What the table's key holds, as `this_<column>`."""
        return {f"this_{column.name}": getattr(entity, column.name) for column in self.table.primary_key}

    def differing(self, before: E, after: E) -> dict[str, Any]:
        """What `after` has another value for, by column name."""
        both = zip(self._names, self._values(before), self._values(after), strict=True)
        return {
            name: encode(now) if now is not None and (encode := self._encode.get(name)) is not None else now
            for name, was, now in both
            if was is not now and was != now
        }

    def entity(self, row: Sequence[Any]) -> E:
        """The inverse of `row`, from the values of `columns`."""
        values: dict[str, Any] = dict(zip(self._names, row, strict=True))
        for name, decode in self._decoders:
            if values[name] is not None:
                values[name] = decode(values[name])
        return restore(self._kind, values)


SESSION = Shape(Session, tables.sessions)
ROOM = Shape(Room, tables.rooms)
PARTICIPANT = Shape(Participant, tables.participants)
TRACK = Shape(Track, tables.tracks)
JOB = Shape(Job, tables.jobs)
TURN = Shape(TurnRef, tables.turns)
REMOVAL = Shape(Removal, tables.removals)
OUTBOX = Shape(OutboxMessage, tables.outbox)
TIMER = Shape(DueTimer, tables.timers)
ERRAND = Shape(RoomErrand, tables.errands)
ANSWER = Shape(Answer, tables.answers)
