"""The worker: consumes commands and room events, keeps sessions, and tells the speech and AI services what to do.

`domain` decides and does no I/O; `application` is the use cases and the ports; `adapters` are AMQP, SQL and LiveKit
behind those ports; `entrypoints` compose them into a process.
"""
