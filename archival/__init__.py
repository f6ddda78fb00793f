"""archival."""
