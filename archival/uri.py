"""Where a namespace's archive lies: `file:///folder` or `s3://bucket/path`.

Refusals have the texts of Temporal's archivers. Whether the bucket or folder is there is asked of
the store, not here.
"""

from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from schemas.errors import InvalidArgument

SCHEMES: Final = ("file", "s3")
PATH_BYTES: Final = 256
"""Longest path in a bucket: object names have 1,024 bytes, ids and times need the rest."""


class Uri(msgspec.Struct, frozen=True):
    """A valid URI; `path` has no percent signs of the URI's own any more."""

    scheme: str
    host: str
    path: str
    text: str


def parse_uri(text: str) -> Uri:
    """Return a URI that a store can be opened by; raises InvalidArgument."""
    uri = _split(text)
    match uri.scheme:
        case "file":
            if not uri.path:
                raise InvalidArgument("directory path is empty")
        case "s3":
            if not uri.host:
                raise InvalidArgument("no bucket specified")
            if len(uri.path.encode()) > PATH_BYTES:
                raise InvalidArgument(
                    f"expected a path of at most {PATH_BYTES} bytes in {text!r}, "
                    f"found {len(uri.path.encode())}"
                )
        case _:
            raise InvalidArgument("unknown archiver scheme")
    return uri


def _split(text: str) -> Uri:
    try:
        parts = urlsplit(text)
        path = unquote(parts.path, errors="strict")
        _ = parts.port
    except ValueError:
        raise InvalidArgument("URI is invalid") from None
    is_hidden = any(ord(char) < 32 or ord(char) == 127 for char in text + path)
    if not parts.scheme or "://" not in text or is_hidden or ".." in path.split("/"):
        raise InvalidArgument("URI is invalid")
    return Uri(parts.scheme, parts.hostname or "", path.strip("/") and path, text)
