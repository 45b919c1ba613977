"""The AMQP 0-9-1 wire: bytes to frames, frames to deliveries and confirms, and back, without any policy.

Nothing here reconnects, retries or logs about messages; `messaging.connection` and its neighbours do.
Why June reads the wire itself: docs/adr/0002-batched-amqp.md.
"""
