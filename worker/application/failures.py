"""Errors that carry the decision: what a use case may meet outside, by meaning.

An `Outage` is retried for as long as it lasts and never parks or dead-letters anything; a `Permanent` one is not
retried.
"""

from __future__ import annotations


class Outage(Exception):
    """Something that June needs cannot be reached; the same again later is right."""


class StoreUnavailable(Outage):
    """The database cannot be reached or cannot write. Nothing was changed."""


class LiveKitUnavailable(Outage):
    """LiveKit cannot be reached, or did not answer in time: the outcome may be unknown."""


class BrokerUnavailable(Outage):
    """RabbitMQ did not confirm. Copies may have arrived."""


class Conflict(Exception):
    """Somebody else wrote the session meanwhile. The work is right on fresh state; this one's writes are refused."""


class Permanent(Exception):
    """The same again gives the same."""


class LiveKitRefused(Permanent):
    """LiveKit understood and said no; the message says what."""
