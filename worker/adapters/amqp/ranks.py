"""Which worker should hold which partition, by rendezvous hashing: no worker knows of the others.

Promises: each worker's rank for a partition depends on these two alone, so that a worker that comes or goes moves only
the partitions that it wins or held.
"""

from __future__ import annotations

import hashlib

HIGHEST = 2**31 - 1


def rank(worker_id: str, partition: int) -> int:
    """The consumer priority of a worker for a partition, 0 … 2³¹-1; the highest holds it (on RabbitMQ 4)."""
    digest = hashlib.blake2b(f"{worker_id}\n{partition}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (HIGHEST + 1)
