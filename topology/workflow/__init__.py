"""topology/workflow."""
