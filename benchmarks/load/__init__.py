"""Load generators, each a process of its own. The last line of their output is their report, as JSON."""
