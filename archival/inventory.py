"""Whose runs an archive holds: the namespaces that left something in it."""

from urllib.parse import unquote

from archival.archive import Archive
from archival.layout import OURS
from archival.names import part


def namespace_ids(archive: Archive) -> list[str]:
    """Return the ids of the namespaces that have visibility records in an archive, or a lake."""
    names = {*archive.store.folders(""), *archive.store.folders(f"{OURS}/")} - {OURS, "unfinished"}
    return sorted(read for name in names if part(read := unquote(name), 128) == name)
