"""What was observed of a room, as one message in its partition: the facts keep the room's order, and its one path.

Promises: any facts of a room survive the way there and back. Internal: workers alone send and read it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from schemas import topology
from schemas.envelope import SOURCE, Envelope, encode
from schemas.errors import FieldProblem, MessageInvalid
from worker.application.ports import OutboxMessage
from worker.domain.facts import RoomFact

OBSERVATION_TYPE = "june.observation.v1"

_FACTS: dict[str, TypeAdapter[RoomFact]] = {fact.__name__: TypeAdapter(fact) for fact in get_args(RoomFact)}


def observation(room_name: str, facts: Sequence[RoomFact], now: datetime) -> OutboxMessage:
    """The message that has these facts decided, in this order, in one transaction."""
    message_id = f"observation|{uuid.uuid4()}"
    envelope = Envelope(
        id=message_id,
        source=SOURCE,
        type=OBSERVATION_TYPE,
        time=now,
        partitionkey=room_name,
        data={"facts": [_written(fact) for fact in facts]},
    )
    return OutboxMessage(
        message_id=message_id,
        session_id=None,
        cause=message_id,
        correlation_id=message_id,
        exchange=topology.ROOMS,
        routing_key=topology.room_event_key(room_name, "observation"),
        type=OBSERVATION_TYPE,
        body=encode(envelope),
        created_at=now,
    )


def read_observation(envelope: Envelope) -> tuple[RoomFact, ...]:
    """The facts in an observation's envelope. Raises `MessageInvalid`."""
    try:
        return tuple(_read(written) for written in envelope.data["facts"])
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        problem = FieldProblem("facts", "must be facts as a worker writes them")
        raise MessageInvalid(f"{OBSERVATION_TYPE} breaks its rules", [problem]) from error


def _written(fact: RoomFact) -> dict[str, Any]:
    created_at = fact.room_created_at
    return {
        "fact": type(fact).__name__,
        **asdict(fact),
        "at": fact.at.isoformat(),
        "room_created_at": None if created_at is None else created_at.isoformat(),
    }


def _read(written: dict[str, Any]) -> RoomFact:
    values = dict(written)
    return _FACTS[values.pop("fact")].validate_python(values)
