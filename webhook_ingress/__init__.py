"""Takes LiveKit's webhooks: a token and bytes in, one confirmed publish out, a status code back."""
