"""What may go wrong on the wire. Callers of `messaging` see `messaging.failures` in their place."""


class WireError(Exception):
    """Base of all errors of the wire."""


class ConnectionLost(WireError):
    """The connection is gone: closed by either side, cut, or silent for too long."""


class ProtocolViolation(ConnectionLost):
    """The peer sent bytes that are not AMQP 0-9-1; nothing after them can be trusted."""


class ChannelClosed(WireError):
    """The channel is closed: by the broker (`code` is its reply code), or by us (`code` is 0)."""

    def __init__(self, code: int, text: str) -> None:
        """Keep the broker's own words: they name the exchange or queue that is wrong."""
        super().__init__(f"{code} {text}" if code else text)
        self.code = code
        self.text = text
