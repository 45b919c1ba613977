"""The spool without a broker."""
