"""What a partition's message is, from its bytes alone: LiveKit's webhook, a service's report, or a moment that came.

Promises: the body decides, no property or routing key does; any bytes give an `Inbound` or a `Refused`, and nothing is
raised. Refuses: duplicates, order, state: that is the transaction's work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from schemas.envelope import Envelope, decode
from schemas.errors import MessageInvalid, TypeUnknown
from schemas.limits import ID_MAX_BYTES
from schemas.reports import parse_report
from worker.application.moments import MOMENT_TYPE, read_moment
from worker.application.observations import OBSERVATION_TYPE, read_observation
from worker.domain.facts import Fact, Reported


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """A readable message. `facts` is empty for what June has no use for."""

    key: str
    """What copies of it have in common."""
    message_id: str
    name: str
    room_name: str
    """For order: messages with the same value wait for one another. A report has its job's or turn's id here."""
    facts: tuple[Fact, ...]
    traceparent: str | None = None

    @property
    def is_report(self) -> bool:
        """Whether it is a service's report: one fact, about one job or turn."""
        return bool(self.facts) and isinstance(self.facts[0], Reported)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A message that cannot be read. `error` names the fields, and never quotes the body."""

    reason: str
    error: str


def read_inbound(
    body: bytes, now: datetime, read_webhook: Callable[[Mapping[str, object], datetime], Fact | None]
) -> Inbound | Refused:
    """Read one message of a partition."""
    try:
        payload = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        return Refused(reason="unreadable", error=f"not JSON: {error}")
    if not isinstance(payload, dict):
        return Refused(reason="unreadable", error="not a JSON object")
    if "specversion" in payload:
        return _read_envelope(body)
    return _read_webhook(payload, now, read_webhook)


def _read_webhook(
    payload: dict[str, Any],
    now: datetime,
    read_webhook: Callable[[Mapping[str, object], datetime], Fact | None],
) -> Inbound | Refused:
    event_id, event = payload.get("id"), payload.get("event")
    if not isinstance(event_id, str) or not event_id or not isinstance(event, str) or not event:
        return Refused(reason="unreadable", error="a webhook needs `id` and `event`")
    if "\0" in event_id:
        return Refused(reason="unreadable", error="`id` holds a NUL character")
    if max(len(event_id.encode()), len(event.encode())) > ID_MAX_BYTES:
        # The ingress lets none through; whoever else publishes into a partition must not stop it.
        return Refused(reason="unreadable", error=f"`id` or `event` is over {ID_MAX_BYTES} bytes")
    try:
        fact = read_webhook(payload, now)
    except ValueError as error:
        return Refused(reason="unreadable", error=str(error))
    room_name = getattr(fact, "room_name", "")
    return Inbound(
        key=f"livekit|{event_id}",
        message_id=event_id,
        name=f"livekit.{event}",
        room_name=room_name,
        facts=() if fact is None else (fact,),
    )


def _read_envelope(body: bytes) -> Inbound | Refused:
    try:
        envelope = decode(body)
        if envelope.type == MOMENT_TYPE:
            moment = read_moment(envelope)
            return Inbound(
                key=f"moment|{envelope.id}",
                message_id=envelope.id,
                name=envelope.type,
                room_name=envelope.partitionkey or "",
                facts=(moment,),
            )
        if envelope.type == OBSERVATION_TYPE:
            return Inbound(
                key=f"observation|{envelope.id}",
                message_id=envelope.id,
                name=envelope.type,
                room_name=envelope.partitionkey or "",
                facts=read_observation(envelope),
            )
        report = parse_report(envelope)
    except MessageInvalid as error:
        return Refused(reason="invalid", error=_explain(error))
    except TypeUnknown as error:
        return Refused(reason="unknown_type", error=str(error))
    subject = str(getattr(report, "job_id", None) or getattr(report, "turn_id", ""))
    return Inbound(
        key=message_key(envelope),
        message_id=envelope.id,
        name=envelope.type,
        room_name=subject,
        facts=(Reported(source=envelope.source, report=report),),
        traceparent=envelope.traceparent,
    )


def message_key(envelope: Envelope) -> str:
    """The idempotency key `(source, id)`, so written that no two pairs share one."""
    return json.dumps([envelope.source, envelope.id], ensure_ascii=False, separators=(",", ":"))


def _explain(error: MessageInvalid) -> str:
    problems = "; ".join(f"{problem.field} {problem.problem}" for problem in error.problems)
    return f"{error.message}: {problems}" if problems else error.message
