"""Archives to test: in a folder, and in a bucket of a real S3 protocol server."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archival.archive import Archive
from archival.opening import open_archive
from archival.settings import ArchivalSettings, LakeSettings, S3Settings
from tests.support.s3_real import FaultyS3, make_bucket, s3_server

SMALL = LakeSettings(segment_rows_count=64, fanout_count=4)


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The URL of a server."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> str:
    """A bucket of its own."""
    name = f"test-{uuid.uuid4().hex}"
    make_bucket(s3_url, name)
    return name


@pytest.fixture
def faulty(s3_url: str) -> Iterator[FaultyS3]:
    """A proxy in front of the server."""
    with FaultyS3(s3_url) as proxy:
        yield proxy


def settings_of(url: str, **changed: int) -> ArchivalSettings:
    """Return settings for a server, blobs small so that histories have several."""
    s3 = S3Settings(endpoint=url, path_style=True, request_timeout_s=20, **changed)
    return ArchivalSettings(blob_bytes=2_000, s3=s3, lake=SMALL)


Opened = Callable[[], Archive]


@pytest.fixture
def opened_files(tmp_path: Path) -> Opened:
    """Open the archive in a folder, again and again the same."""
    settings = ArchivalSettings(blob_bytes=2_000, lake=SMALL)
    return lambda: open_archive(f"file://{tmp_path}/archive", settings)


@pytest.fixture
def opened_s3(s3_url: str, bucket: str) -> Opened:
    """Open the archive in a bucket, again and again the same."""
    return lambda: open_archive(f"s3://{bucket}/some/path", settings_of(s3_url))


@pytest.fixture(params=["files", "s3"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Open an archive of either kind; all are closed in the end."""
    make: Opened = request.getfixturevalue(f"opened_{request.param}")
    made: list[Archive] = []

    def one() -> Archive:
        made.append(make())
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def archive(opened: Opened) -> Archive:
    """An archive of either kind."""
    return opened()
