"""The host's own cogs."""
