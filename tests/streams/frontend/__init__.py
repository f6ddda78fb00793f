"""tests.streams.frontend."""
