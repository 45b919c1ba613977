"""Messaging without a broker: the wire, the decisions and the values."""
