"""Messages as they come from a queue, and the channel that they come by."""

from __future__ import annotations

from typing import Any

from messaging.acknowledger import Verdict
from messaging.delivery import Delivery
from messaging.message import Incoming


def incoming(body: bytes = b"{}", **fields: Any) -> Incoming:
    """A message with the least that it may have, and these fields."""
    least: dict[str, Any] = {
        "queue": "q",
        "message_id": None,
        "type": None,
        "content_type": None,
        "correlation_id": None,
        "reply_to": None,
        "headers": {},
        "exchange": "",
        "routing_key": "",
        "redelivered": False,
        "delivery_count": 0,
        "timestamp": None,
    }
    return Incoming(body=body, **(least | fields))


class OpenChannel:
    """Stays open, and leaves it to each delivery to know its verdict."""

    current = True

    def settle(self, tag: int, verdict: Verdict) -> None:
        """Nobody looks."""


def delivery(message: Incoming) -> Delivery:
    """The message, to be settled."""
    return Delivery(message.body, lambda: message, tag=1, origin=OpenChannel())
