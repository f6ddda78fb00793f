"""Open the archive at a URI: which scheme is which store."""

from pathlib import Path

from archival.archive import Archive
from archival.files import FileStore
from archival.settings import ArchivalSettings
from archival.store import Store
from archival.uri import Uri, parse_uri


def open_archive(text: str, settings: ArchivalSettings | None = None) -> Archive:
    """Return the archive at a URI, whether or not anything is there yet; raises InvalidArgument."""
    settings = settings or ArchivalSettings()
    uri = parse_uri(text)
    return Archive(uri, open_store(uri, settings), settings)


def open_store(uri: Uri, settings: ArchivalSettings) -> Store:
    """Return the store at a URI."""
    if uri.scheme == "file":
        return FileStore(Path(uri.path), settings.files)
    from archival.s3 import S3Store  # noqa: PLC0415  # boto3 is a seventh of all imports of a node

    return S3Store(uri.host, uri.path, settings.s3)
