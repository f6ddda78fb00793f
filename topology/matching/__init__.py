"""topology/matching."""
