"""The HTTP API: one tenant's answers, by the key that asks."""
