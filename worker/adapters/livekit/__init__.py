"""LiveKit behind the worker's ports: its server API, access tokens, and what its webhooks say."""
