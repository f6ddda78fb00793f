"""topology/namespace."""
