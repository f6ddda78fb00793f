"""URIs: valid ones, and refusals in Temporal's words."""

import pytest

from archival.opening import open_archive
from archival.uri import parse_uri
from schemas.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///var/archive", ("file", "", "/var/archive")),
        ("file:///with%20blank", ("file", "", "/with blank")),
        ("s3://bucket", ("s3", "bucket", "")),
        ("s3://bucket/some/path", ("s3", "bucket", "/some/path")),
    ],
)
def test_valid_uris(text: str, expected: tuple[str, str, str]) -> None:
    """A scheme, a bucket, a path."""
    uri = parse_uri(text)
    assert expected == (uri.scheme, uri.host, uri.path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "URI is invalid"),
        ("some random string", "URI is invalid"),
        ("file:///a/../b", "URI is invalid"),
        ("s3://bucket/%2e%2e/b", "URI is invalid"),
        ("s3://bucket\n/b", "URI is invalid"),
        ("file://", "directory path is empty"),
        ("s3:///path", "no bucket specified"),
        ("gs://bucket", "unknown archiver scheme"),
        ("s3://bucket/" + "x" * 300, "expected a path of at most 256 bytes"),
    ],
)
def test_invalid_uris_are_refused(text: str, reason: str) -> None:
    """Before anything is opened."""
    with pytest.raises(InvalidArgument, match=reason):
        parse_uri(text)


def test_a_bucket_that_is_not_there_is_refused(s3_url: str) -> None:
    """In Temporal's words."""
    from tests.archival.conftest import settings_of  # noqa: PLC0415 - needs the server's URL only

    archive = open_archive("s3://nothing-here", settings_of(s3_url))
    with pytest.raises(InvalidArgument, match="requested bucket does not exist"):
        archive.check()
    archive.close()
