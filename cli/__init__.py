"""`june`, the command line: runs the parts, asks June, watches, looks after dead letters, checks a set-up.

Decides nothing: what it asks is a command and its reply, and what it shows is what June, RabbitMQ and LiveKit say.
"""
