"""What happens, as server-sent events: read once from the log of events, given to any number of listeners."""
