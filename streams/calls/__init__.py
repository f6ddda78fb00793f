"""Calls: who owns what, who waits, and what is gathered on the way to an owner."""
