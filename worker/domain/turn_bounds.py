"""How large a conversation may grow, and what goes when it does.

Promises: whole entries are dropped, the oldest first; no text is ever cut. Sizes are bytes of compact JSON as UTF-8
for the history (as it is sent) and for what waits, and bytes of UTF-8 for an answer.
Refuses: decisions on turns.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import to_json

from worker.domain.conversation import Part, Utterance
from worker.domain.effects import HistoryEntry

HISTORY_ENTRIES = 20
HISTORY_BYTES = 64 * 1024
WAITING_BYTES = 1024 * 1024
ANSWER_BYTES = 1024 * 1024
ANSWER_PARTS = 4096

_WIRE_TIME = "2026-11-22T19:00:00.000Z"


def remember(history: tuple[HistoryEntry, ...], more: Iterable[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """The history with `more` at its end: at most 20 entries and 64 KiB."""
    kept = (*history, *more)[-HISTORY_ENTRIES:]
    size, start = 2, len(kept)
    while start > 0 and (size := size + _entry_bytes(kept[start - 1]) + 1) <= HISTORY_BYTES + 1:
        start -= 1
    return kept[start:]


def put_waiting(waiting: tuple[Utterance, ...], utterance: Utterance) -> tuple[Utterance, ...]:
    """What waits, with this at its end: at most 1 MiB, but the newest stays however long it is."""
    kept = (*waiting, utterance)
    sizes = [len(to_json(entry)) for entry in kept]
    total, start = sum(sizes), 0
    while total > WAITING_BYTES and start < len(kept) - 1:
        total -= sizes[start]
        start += 1
    return kept[start:]


def has_room(parts: tuple[Part, ...], text: str) -> bool:
    """Whether an answer of these parts may take one more: at most 4,096 parts and 1 MiB of text."""
    size = len(text.encode()) + sum(len(part.text.encode()) for part in parts)
    return len(parts) < ANSWER_PARTS and size <= ANSWER_BYTES


def _entry_bytes(entry: HistoryEntry) -> int:
    wire = {"role": entry.role, "identity": entry.identity, "text": entry.text, "at": _WIRE_TIME}
    return len(to_json(wire))
