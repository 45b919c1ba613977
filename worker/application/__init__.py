"""Use cases: load a slice of state, let the domain decide, save, and send; and the ports that adapters implement."""
