"""A conversation with real parts: a backend, a person, and sample services that know June by its contract alone."""
