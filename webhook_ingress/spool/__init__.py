"""Where events wait on this machine's disk while the broker does not take them. No AMQP and no HTTP in here.

`records` and `codec` are the format, `disk` and `log` the files, `spool` what the event loop sees of them, and
`delivery` brings to the broker what is in it.
"""
