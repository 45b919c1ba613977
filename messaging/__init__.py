"""AMQP and nothing else: connect, declare, publish with confirms, consume and settle, request and reply.

Knows no LiveKit, no SQL and no session. Everything here speaks in batches, because that is where the speed
is: many messages are published in one write, and what is buffered is handled and settled together.
"""
