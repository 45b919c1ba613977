"""What to do with a message after it was tried: one pure decision, from the class of the error alone.

| error | decision |
|---|---|
| none | Ack |
| Outage | Retry, for as long as it lasts: a backlog is never drained into the dead letters |
| Permanent | DeadLetter at once |
| Transient | Retry with growing delays, then DeadLetter |
| anything else, a fault of ours | as Transient: the next version, or the next moment, may have cured it |
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

from messaging.failures import Failure, Outage, Permanent

FAULT_REASON: Final = "internal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """It is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again, in place, after `delay`. `counted`: this try is one of the bounded number."""

    delay: timedelta
    counted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """Set it aside. `reason` is a short word for the header; `error` says what happened."""

    reason: str
    error: str


Settlement: TypeAlias = Ack | Retry | DeadLetter


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How long a message is tried. `tries` counts the first one; the delay doubles from `first` to `last`."""

    tries: int = 5
    first: timedelta = timedelta(milliseconds=100)
    last: timedelta = timedelta(seconds=5)


DEFAULT_POLICY: Final = RetryPolicy()


def classify(
    error: Exception | None, *, attempt: int = 1, policy: RetryPolicy = DEFAULT_POLICY
) -> Settlement:
    """Decide about a message whose `attempt`-th try (from 1) ended with `error`.

    Takes no CancelledError: a try that was cancelled says nothing about its message.
    """
    match error:
        case None:
            return Ack()
        case Outage():
            return Retry(delay=backoff(attempt, policy), counted=False)
        case Permanent():
            return DeadLetter(reason=error.reason, error=words(error))
        case _ if attempt < policy.tries:
            return Retry(delay=backoff(attempt, policy), counted=True)
        case _:
            reason = error.reason if isinstance(error, Failure) else FAULT_REASON
            return DeadLetter(reason=reason, error=words(error))


def backoff(attempt: int, policy: RetryPolicy = DEFAULT_POLICY) -> timedelta:
    """The delay after the `attempt`-th try (from 1): doubles, and stays at `policy.last`."""
    doublings = min(max(attempt, 1) - 1, 30)  # beyond that a timedelta overflows, and `last` was long reached
    return min(policy.first * (1 << doublings), policy.last)


def words(error: BaseException) -> str:
    """An error as a line for people: its type and what it says."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
