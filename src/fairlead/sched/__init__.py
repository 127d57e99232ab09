"""The scheduler of a backing device: its settings and its readable specification. Pure."""
