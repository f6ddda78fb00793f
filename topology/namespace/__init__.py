"""Namespaces as an entity of the log: registered by a command, projected to `namespaces` (N1)."""
