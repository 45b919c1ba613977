"""What each process has: settings, logs, an admin port, signals. Knows nothing of what the process does."""
