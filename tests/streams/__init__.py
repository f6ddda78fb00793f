"""tests.streams."""
