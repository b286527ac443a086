"""The host's own package, named like ours."""

GREETING = "A picture for you"
