"""Trouble on the way to S3: every kind, anywhere, and the archive is as if there were none."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest

from archival.archive import Archive
from archival.archiver import Archiver
from archival.opening import open_archive
from archival.s3 import S3Store
from archival.settings import S3Settings
from schemas.errors import InvalidArgument, Unavailable
from tests.archival.conftest import settings_of
from tests.archival.runs import closed_run, key_of
from tests.support.s3_real import ADDRESS_VARIABLE, FaultyS3, Plan

FAULTS = ("slow_down", "reset_before", "reset_after")
PART = 5 << 20


@pytest.fixture
def archive(faulty: FaultyS3, bucket: str) -> Iterator[Archive]:
    """An archive behind the proxy."""
    archive = open_archive(f"s3://{bucket}/p", settings_of(faulty.url))
    yield archive
    archive.close()


def every(number: int, fault: str, method: str = "") -> Plan:
    """Break every so many-th request."""
    counter = itertools.count(1)

    def plan(asked: str, _path: str) -> str:
        if method and asked != method:
            return ""
        return fault if next(counter) % number == 0 else ""

    return plan


def at(number: int, fault: str) -> Plan:
    """Break one request."""
    counter = itertools.count(1)
    return lambda _method, _path: fault if next(counter) == number else ""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_any_request_is_not_seen(
    archive: Archive, faulty: FaultyS3, fault: str
) -> None:
    """The k-th request breaks, before or after the body was stored: one of everything."""
    archiver = Archiver(archive, archive)
    for number in range(1, 12):
        faulty.plan = at(number, fault)
        run = closed_run(key_of(f"wf-{number}", number), events=9, padding=400)
        archiver.archive(run)
        faulty.plan = at(0, fault)
        assert list(run.batches) == list(archive.history(run.key))
        assert number == len(list(archive.records.all("ns")))
        assert number == len(list(archive.lake("ns").rows()))
    assert [fault] * 11 == faulty.faults()
    archiver.close()


def test_bodies_that_break_off_are_read_again(archive: Archive, faulty: FaultyS3) -> None:
    """Half a body is never taken for a whole one."""
    archiver = Archiver(archive, archive)
    run = closed_run(events=31, padding=300)
    archiver.archive(run)
    faulty.plan = every(2, "half_body", "GET")
    assert list(run.batches) == list(archive.history(run.key))
    assert [run.key.run_id] == [row.run_id for row in archive.lake("ns").rows()]
    assert "half_body" in faulty.faults()
    archiver.close()


def test_a_service_that_is_down_makes_runs_wait_and_not_be_refused(
    archive: Archive, faulty: FaultyS3
) -> None:
    """They come back as to be tried again, and are archived once the service is back."""
    archiver = Archiver(archive, archive)
    runs = [closed_run(key_of(number=number)) for number in range(3)]
    faulty.plan = lambda _method, _path: "reset_before"
    outcomes = archiver.archive_all(runs)
    assert [False] * 3 == [one.is_refused for one in outcomes]
    assert all(isinstance(one.error, Unavailable) for one in outcomes)
    faulty.plan = lambda _method, _path: ""
    assert [True] * 3 == [one.is_archived for one in archiver.archive_all(runs)]
    assert 3 == len(list(archive.lake("ns").rows()))
    archiver.close()


def parts(count: int) -> Iterator[bytes]:
    """Return a body of several parts."""
    for number in range(count):
        yield bytes([number]) * PART


@pytest.fixture
def store(faulty: FaultyS3, bucket: str) -> Iterator[S3Store]:
    """A store with small parts behind the proxy."""
    settings = S3Settings(endpoint=faulty.url, path_style=True, part_bytes=PART)
    store = S3Store(bucket, "p", settings)
    yield store
    store.close()


def test_parts_that_fail_are_sent_again(store: S3Store, faulty: FaultyS3) -> None:
    """Each part is tried until it is there."""
    faulty.plan = lambda _method, path: _once(path) if "partNumber" in path else ""
    seen: set[str] = set()

    def _once(path: str) -> str:
        if path in seen:
            return ""
        seen.add(path)
        return "slow_down"

    assert store.put_new("large", parts(3))
    assert b"".join(parts(3)) == store.get("large")
    assert b"".join(parts(3)) == b"".join(store.read("large"))
    assert 3 * PART == store.size("large")
    assert not store.put_new("large", parts(2))
    assert 3 * PART == store.size("large")


@pytest.mark.slow
def test_parts_that_never_come_through_leave_nothing(store: S3Store, faulty: FaultyS3) -> None:
    """No object, and no upload that would be paid for."""
    faulty.plan = lambda _method, path: "slow_down" if "partNumber=2" in path else ""
    with pytest.raises(Unavailable):
        store.put_new("large", parts(3))
    assert store.size("large") is None
    assert [] == store._client().list_multipart_uploads(Bucket=store._bucket).get("Uploads", [])


def test_a_body_that_raises_leaves_nothing(store: S3Store) -> None:
    """Neither in one part nor in several."""
    for count in (0, 2):

        def broken(count: int = count) -> Iterator[bytes]:
            yield from parts(count)
            raise InvalidArgument("no more")

        with pytest.raises(InvalidArgument):
            store.put_new("never", broken())
        assert store.size("never") is None


@pytest.mark.skipif(ADDRESS_VARIABLE in os.environ, reason="not every service has these")
@pytest.mark.parametrize(
    "settings",
    [
        S3Settings(encryption="AES256"),
        S3Settings(encryption="aws:kms", kms_key_id="alias/archive"),
        S3Settings(storage_class="STANDARD_IA"),
    ],
    ids=["sse", "kms", "class"],
)
def test_encryption_and_class_are_asked_for(
    s3_url: str, bucket: str, settings: S3Settings, make: Callable[..., S3Store]
) -> None:
    """Of small objects and of large ones."""
    store = make(bucket, s3_url, settings)
    store.put_new("small", [b"x"])
    store.put_new("large", parts(2))
    for name in ("small", "large"):
        found = store._client().head_object(Bucket=bucket, Key=name)
        if settings.encryption:
            assert settings.encryption == found["ServerSideEncryption"]
        if settings.storage_class:
            assert settings.storage_class == found["StorageClass"]


@pytest.fixture
def make() -> Iterator[Callable[..., S3Store]]:
    """Make stores; all are closed in the end."""
    made: list[S3Store] = []

    def one(bucket: str, url: str, settings: S3Settings) -> S3Store:
        changed = {"endpoint": url, "path_style": True, "part_bytes": PART}
        fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
        made.append(S3Store(bucket, "", S3Settings(**{**fields, **changed})))
        return made[-1]

    yield one
    for store in made:
        store.close()
