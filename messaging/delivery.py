"""A message in a consumer's hands: read it, and settle it exactly once.

Settling is not awaited: what is settled in one turn of the event loop leaves in one write. When the channel
that brought a delivery is gone, the broker has given the message to somebody else already: the delivery is
then `stale`, settling it does nothing, and work that has not begun should not begin.
"""

from collections.abc import Callable
from typing import Protocol

from messaging.acknowledger import Verdict
from messaging.failures import AlreadySettled
from messaging.message import Incoming


class Origin(Protocol):
    """The channel that brought a delivery."""

    @property
    def current(self) -> bool:
        """False once the channel is gone."""

    def settle(self, tag: int, verdict: Verdict) -> None:
        """Tell the broker. Does nothing once the channel is gone."""


class Delivery:
    """One delivery of `message`, whose bytes are `body`."""

    __slots__ = ("_message", "_origin", "_read", "_tag", "body", "verdict")

    def __init__(self, body: bytes, read: Callable[[], Incoming], *, tag: int, origin: Origin) -> None:
        """Made by a Consumer; by tests with an Origin of their own. `read` gives the message with its properties."""
        self.body = body
        self.verdict: Verdict | None = None
        self._message: Incoming | None = None
        self._read = read
        self._tag = tag
        self._origin = origin

    @property
    def message(self) -> Incoming:
        """Body and properties. They are read when somebody asks: who needs the body alone does not pay for them."""
        if self._message is None:
            self._message = self._read()
        return self._message

    @property
    def current(self) -> bool:
        """Its channel is open. Else the message is somebody else's by now; what is done with it is done twice."""
        return self._origin.current

    @property
    def settled(self) -> bool:
        """`ack`, `requeue` or `drop` was called."""
        return self.verdict is not None

    def ack(self) -> None:
        """Done with. Raises AlreadySettled."""
        self._settle(Verdict.ACK)

    def requeue(self) -> None:
        """Give it back to its queue, which counts that. Raises AlreadySettled."""
        self._settle(Verdict.REQUEUE)

    def drop(self) -> None:
        """Refuse it: it goes to the queue's dead-letter exchange, or nowhere. Raises AlreadySettled."""
        self._settle(Verdict.DROP)

    def _settle(self, verdict: Verdict) -> None:
        if self.verdict is not None:
            raise AlreadySettled(f"{self.message.message_id!r}: {self.verdict} already, now {verdict}")
        self.verdict = verdict
        self._origin.settle(self._tag, verdict)
