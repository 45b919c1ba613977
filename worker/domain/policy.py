"""The choices that an operator makes and every decision keeps to.

Promises: values only, with the contract's defaults. Refuses: to read settings; the composition root does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What decisions depend on besides the state and the fact."""

    adopt_rooms: bool = True
    """Whether a room that June did not create becomes a session."""
    stt_enabled: bool = True
    """Whether a session's voices are transcribed, unless it says otherwise. Adopted ones never say."""
    stt_language: str = "en"
    ai_enabled: bool = True
    ai_speak: bool = True
    lease: timedelta = timedelta(seconds=30)
    """For how long a job is left to whoever has it without a word from them."""
    last_words: timedelta = timedelta(seconds=10)
    """For how long after a job's end its finals are still taken."""
    room_grace: timedelta = timedelta(seconds=60)
    """For how long a session waits for a room that vanished without having finished."""
