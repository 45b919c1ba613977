"""The published language of June: every message, every limit and the AMQP topology, as data.

Imports no other package of June and does no I/O, so that each part, and each client, can use it.
"""
