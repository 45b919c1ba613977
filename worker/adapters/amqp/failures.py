"""The application's errors in the words that `messaging` settles by."""

from __future__ import annotations

from messaging import failures as amqp
from worker.application.failures import Outage, Permanent


def as_settled_by(error: Exception) -> Exception:
    """An outage stays one, a permanent failure too; anything else is left as it is."""
    match error:
        case Outage():
            return amqp.Outage(str(error))
        case Permanent():
            return amqp.Permanent(str(error))
        case _:
            return error
