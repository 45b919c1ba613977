"""Ids that nobody can guess and no two messages share.

Promises: 128 bits from the system's generator, as 32 hexadecimal digits. They are fetched for many ids at a time: each
time costs a call into the kernel, with a change of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

_ID_BYTES = 16
_AT_ONCE = 256


def random_id() -> str:
    """A new id. From any thread."""
    with _lock:
        return next(_ids)


def _fetched() -> Iterator[str]:
    while True:
        digits = os.urandom(_ID_BYTES * _AT_ONCE).hex()
        for at in range(0, len(digits), 2 * _ID_BYTES):
            yield digits[at : at + 2 * _ID_BYTES]


_lock = threading.Lock()
_ids = _fetched()
