"""What can go wrong, in classes that carry the decision: an outage, a passing trouble, or for good.

Application errors subclass `Transient`, `Outage` or `Permanent`, so that `messaging.settlement.classify` can
decide about a message without knowing them.
"""

from datetime import timedelta
from typing import ClassVar


class Failure(Exception):
    """Base of the three classes. `reason` is a short word for headers, logs and metrics."""

    reason: ClassVar[str] = "failed"


class Transient(Failure):
    """May well work in a moment: retried a bounded number of times, in place."""

    reason = "transient"


class Outage(Failure):
    """Something that every message needs is away: retried for as long as it lasts, and never counted."""

    reason = "outage"


class Permanent(Failure):
    """Will never work: dead-lettered at once."""

    reason = "permanent"


class PublishError(Exception):
    """Base of what may keep a message from being confirmed."""


class Unroutable(PublishError, Permanent):
    """The broker has the exchange, and no queue behind it takes this message. Nothing was stored."""

    reason = "unroutable"


class Unsendable(PublishError, Permanent):
    """AMQP has no place for it, such as a routing key over 255 bytes. Nothing was sent."""

    reason = "unsendable"


class Refused(PublishError, Transient):
    """The broker said no (nack): a full queue, or a queue without a leader."""

    reason = "refused"


class BrokerUnavailable(PublishError, Outage):
    """No connection, or lost before the confirm: then the outcome is unknown, a copy may have arrived."""

    reason = "broker_unavailable"


class PublishTimeout(PublishError, Outage):
    """No confirm in time. The outcome is unknown: a copy may have arrived, or still arrive."""

    reason = "publish_timeout"

    def __init__(self, after: timedelta) -> None:
        """`after` is how long was waited."""
        super().__init__(f"no confirm within {after.total_seconds():g} s")


class RequestTimeout(Transient):
    """No reply by the deadline. The outcome is unknown: repeat the request under the same id."""

    reason = "request_timeout"


class TopologyMismatch(Permanent):
    """The broker has an exchange or a queue of this name that is made otherwise; the text says what to do."""

    reason = "topology_mismatch"


class ConsumersLost(Exception):
    """Connected for a while now, and still no consumer where there should be one: end the process."""


class AlreadySettled(RuntimeError):
    """A handler settled one delivery twice: a fault in the handler."""
