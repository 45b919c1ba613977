"""What the ingress publishes: an event into its room's partition, or a body that is none to the dead letters.

Promises: the body is the verified bytes, unchanged. The same body always makes the same `message_id`, so copies that
LiveKit's retries bring can be told by it.
"""

from datetime import datetime
from hashlib import sha256
from typing import Final

from messaging.dead_letters import Failed, failure_headers
from messaging.message import Outgoing
from schemas.topology import DEAD, ROOMS, room_event_key, webhook_headers
from webhook_ingress.events import MAX_NAME_BYTES, Unreadable, WebhookEvent

CONTENT_TYPE: Final = "application/webhook+json"
_TYPE_PREFIX: Final = "livekit."


def event_message(event: WebhookEvent, body: bytes, received_at: datetime) -> Outgoing:
    """The message for the room's partition."""
    return Outgoing(
        exchange=ROOMS,
        routing_key=room_event_key(event.room, event.event),
        body=body,
        message_id=event.id,
        type=_cut(_TYPE_PREFIX + event.event),
        content_type=CONTENT_TYPE,
        headers=webhook_headers(event.room, received_at),
    )


def dead_message(unreadable: Unreadable, body: bytes, received_at: datetime) -> Outgoing:
    """The message for the dead letters. It never was on an exchange, so its origin is empty."""
    failed = Failed(reason="unreadable", error=unreadable.reason, attempts=1, at=received_at)
    return Outgoing(
        exchange=DEAD,
        routing_key="webhook.unreadable",
        body=body,
        message_id=sha256(body).hexdigest(),
        type=_TYPE_PREFIX + "unreadable",
        content_type=CONTENT_TYPE,
        headers=failure_headers(failed, exchange="", routing_key=""),
    )


def _cut(text: str) -> str:
    """What an AMQP property holds of it; the body has it in full."""
    return text.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
