"""Placeholder until the turns land."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """The turn in the making, what was said meanwhile, and the history; bounded, so it is stored as one document."""

    session_id: str
