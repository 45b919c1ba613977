"""What a worker counts. One place, so that names and labels are seen together; labels are never a room or a person."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Histogram


class Result(StrEnum):
    """How a message ended."""

    HANDLED = "handled"
    DUPLICATE = "duplicate"
    DEAD = "dead_lettered"
    RETRIED = "retried"


MESSAGES = Counter(
    "june_worker_messages", "Messages taken from queues, by how they ended.", ["kind", "result"]
)
COMMANDS = Counter("june_worker_commands", "Commands answered, by type and code.", ["type", "code"])
COMMAND_SECONDS = Histogram(
    "june_worker_command_seconds",
    "From the command in hand to its answer confirmed.",
    ["type"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
EFFECTS = Counter(
    "june_worker_counted",
    "Seen and not acted on, such as late reports; and `attempt_again`: work given a second time or more.",
    ["what"],
)
SWEPT = Counter("june_worker_outbox_swept", "Messages that a crash or an outage had left in the outbox.")
