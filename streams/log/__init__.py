"""streams/log."""
