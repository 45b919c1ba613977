"""What is measured beside June's own processes: the yardsticks, and use cases without a broker."""
