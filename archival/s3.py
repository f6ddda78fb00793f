"""Objects in an S3 bucket: AWS, or any service with its protocol. The one file that knows boto3.

Every body is sent with its checksum and read back against it. Requests are tried again with
growing, random pauses; a write whose answer was lost may have been stored, so that a second try
finds it "there": `put_new` then says False, and the caller compares.
"""

import base64
import contextlib
import hashlib
import re
import ssl
import threading
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final
from urllib.request import getproxies

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.httpsession import where

from archival.s3_put import Credentials, QuickPut
from archival.settings import S3Settings
from archival.store import Entry, Missing
from schemas.errors import InvalidArgument, Unavailable
from schemas.instants import SECOND

_PIECE_BYTES: Final = 1 << 20
_DELETED_AT_ONCE: Final = 1_000
_PARTS_LIMIT: Final = 10_000
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_TAKEN: Final = frozenset({"PreconditionFailed", "412"})
_WRONG: Final = frozenset({"NoSuchBucket", "InvalidBucketName"})
_READS_ATTEMPTS: Final = 4
_HEADERS: Final = {
    "IfNoneMatch": "if-none-match",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "x-amz-storage-class",
}


class S3Store:
    """A `store.Store` in a bucket, under a path of it."""

    def __init__(self, bucket: str, path: str = "", settings: S3Settings | None = None) -> None:
        self._settings = settings or S3Settings()
        self._bucket = bucket
        self._root = f"{path.strip('/')}/" if path.strip("/") else ""
        self._lock = threading.Lock()
        self._made: Any = None
        self._quick: QuickPut | None = None
        self._written = _encryption(self._settings)
        self.requests_count = 0
        """Requests asked for so far, tries of one counted once."""

    def check(self) -> None:
        """Raise InvalidArgument unless the bucket is there and may be used."""
        with _explained("", bucket=self._bucket):
            self._ask("head_bucket")

    def put_new(self, key: str, body: Iterable[bytes]) -> bool:
        """Write an object unless there is one; see Store."""
        try:
            self._write(key, body, IfNoneMatch="*")
        except _Taken:
            return False
        return True

    def put(self, key: str, body: Iterable[bytes]) -> None:
        """Write an object in place of the one that may be there."""
        self._write(key, body)

    def get(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """Return an object or a part of it; raises Missing."""
        if count == 0:
            return b""
        asked: dict[str, Any] = {}
        if start or count > 0:
            asked["Range"] = f"bytes={start}-{start + count - 1 if count > 0 else ''}"
        return b"".join(self._pieces(key, asked))

    def read(self, key: str) -> Iterator[bytes]:
        """Return an object in pieces; raises Missing."""
        at, size = 0, _PIECE_BYTES * 4
        while piece := self._range(key, at, size):
            yield piece
            at += len(piece)
            if len(piece) < size:
                return

    def size(self, key: str) -> int | None:
        """Return the bytes of an object, None if there is none."""
        try:
            with _explained(key, bucket=self._bucket):
                return int(self._ask("head_object", Key=self._root + key)["ContentLength"])
        except Missing:
            return None

    def list(self, prefix: str, *, after: str = "", limit: int = 0) -> Iterator[Entry]:
        """Return the objects whose keys begin so, in order, a page of them in memory."""
        found = (each for page in self._pages(prefix, after, limit) for each in _contents(page))
        for number, each in enumerate(found, 1):
            modified_at = int(each["LastModified"].timestamp() * SECOND)
            yield Entry(each["Key"][len(self._root) :], int(each["Size"]), modified_at)
            if number == limit:
                return

    def folders(self, prefix: str) -> Iterator[str]:
        """Return what stands between a prefix and the next `/` of the keys that go on so."""
        for page in self._pages(prefix, "", 0, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"][len(self._root) + len(prefix) : -1]

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, a thousand at once."""
        names = [{"Key": self._root + key} for key in keys]
        for at in range(0, len(names), _DELETED_AT_ONCE):
            some = {"Objects": names[at : at + _DELETED_AT_ONCE], "Quiet": True}
            with _explained("", bucket=self._bucket):
                errors = self._ask("delete_objects", Delete=some).get("Errors", ())
            if errors:
                raise Unavailable(f"expected to delete {len(names)} objects, found {errors[0]}")

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            client, self._made = self._made, None
            quick, self._quick = self._quick, None
        if client is not None:
            client.close()
        if quick is not None:
            quick.close()

    def _client(self) -> Any:
        """Return the client, made at its first use: credentials are looked for then."""
        with self._lock:
            if self._made is None:
                session = boto3.session.Session(profile_name=self._settings.profile or None)
                self._made = session.client("s3", **_options(self._settings))
                self._quick = _quick_put(session, self._made, self._bucket, self._settings)
            return self._made

    def _ask(self, name: str, **arguments: Any) -> Any:
        self.requests_count += 1
        return getattr(self._client(), name)(Bucket=self._bucket, **arguments)

    def _write(self, key: str, body: Iterable[bytes], **condition: str) -> None:
        parts = _in_parts(body, self._settings.part_bytes)
        first = next(parts)
        second = next(parts, None)
        with _explained(key, bucket=self._bucket):
            if second is None:
                self._put(key, first, **condition)
            else:
                self._upload(key, chain((first, second), parts), **condition)

    def _put(self, key: str, body: bytes, **condition: str) -> None:
        """Write at once: the quick way, and by the SDK if that got no plain answer."""
        self._client()
        if self._quick is not None:
            self.requests_count += 1
            asked = {_HEADERS[name]: value for name, value in (self._written | condition).items()}
            status = self._quick.put(self._root + key, body, asked)
            if status == 200:
                return
            if status == 412 and condition:
                raise _Taken
        self._ask(
            "put_object",
            Key=self._root + key,
            Body=body,
            ChecksumSHA256=_checksum(body),
            **self._written,
            **condition,
        )

    def _upload(self, key: str, parts: Iterable[bytes], **condition: str) -> None:
        """Write in parts: nothing is there before the last request, and nothing is left over."""
        name = {"Key": self._root + key}
        begun = self._ask(
            "create_multipart_upload", **name, ChecksumAlgorithm="SHA256", **self._written
        )
        upload = {**name, "UploadId": begun["UploadId"]}
        try:
            done = [self._part(upload, number, part) for number, part in enumerate(parts, 1)]
            whole = {"Parts": done}
            self._ask("complete_multipart_upload", **upload, MultipartUpload=whole, **condition)
        except BaseException:
            with contextlib.suppress(BotoCoreError, ClientError):
                self._ask("abort_multipart_upload", **upload)
            raise

    def _part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        assert number <= _PARTS_LIMIT
        checksum = _checksum(part)
        sent = self._ask(
            "upload_part", **upload, PartNumber=number, Body=part, ChecksumSHA256=checksum
        )
        return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

    def _range(self, key: str, start: int, count: int) -> bytes:
        try:
            return self.get(key, start, count)
        except _OutOfRange:
            return b""

    def _pieces(self, key: str, asked: dict[str, Any]) -> Iterator[bytes]:
        """Return a body; one that breaks off is asked for again, whole."""
        for attempt in range(1, _READS_ATTEMPTS + 1):
            try:
                with _explained(key, bucket=self._bucket):
                    answer = self._ask("get_object", Key=self._root + key, **asked)
                    yield _whole(answer)
            except _BrokeOff as error:
                if attempt == _READS_ATTEMPTS:
                    raise Unavailable(f"expected to read {key!r} whole: {error}") from error
                continue
            return

    def _pages(self, prefix: str, after: str, limit: int, **more: str) -> Iterator[Any]:
        asked: dict[str, Any] = {"Prefix": self._root + prefix, **more}
        if limit:
            asked["MaxKeys"] = min(limit, 1_000)
        if after:
            asked["StartAfter"] = self._root + after
        while True:
            with _explained(prefix, bucket=self._bucket):
                page = self._ask("list_objects_v2", **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]


class _Taken(Exception):
    """An object of this name is there."""


class _OutOfRange(Exception):
    """The part begins behind the end of the object."""


class _BrokeOff(Exception):
    """A body ended early, or is not what its checksum says."""


@contextlib.contextmanager
def _explained(key: str, *, bucket: str) -> Iterator[None]:
    """Turn what the service says into our errors."""
    try:
        yield
    except ClientError as error:
        raise _meant(error, key, bucket) from error
    except (BotoCoreError, HTTPClientError) as error:
        raise Unavailable(f"expected the bucket {bucket!r} to answer: {error}") from error


def _meant(error: ClientError, key: str, bucket: str) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _WRONG or (code in _ABSENT and not key):
        return InvalidArgument("requested bucket does not exist")
    if code in _ABSENT:
        return Missing(key)
    if code in _TAKEN:
        return _Taken()
    if code == "InvalidRange":
        return _OutOfRange()
    if code == "KeyTooLongError":
        return InvalidArgument(f"expected a name of at most 1024 bytes, found {key!r}")
    return Unavailable(f"expected the bucket {bucket!r} to answer: {error}")


def _whole(answer: Any) -> bytes:
    body = answer["Body"]
    try:
        read: bytes = body.read()
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise _BrokeOff(str(error)) from error
    finally:
        body.close()
    if len(read) != int(answer["ContentLength"]):
        raise _BrokeOff(f"expected {answer['ContentLength']} bytes, found {len(read)}")
    return read


def _contents(page: Any) -> Iterable[Any]:
    return page.get("Contents", ())  # type: ignore[no-any-return]  # boto3 has no types


def _in_parts(body: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Return a body cut into parts of one size, the last one smaller; at least one part."""
    held = bytearray()
    has_given = False
    for piece in body:
        held += piece
        while len(held) > size:
            yield bytes(held[:size])
            del held[:size]
            has_given = True
    if held or not has_given:
        yield bytes(held)


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _encryption(settings: S3Settings) -> dict[str, str]:
    asked = {
        "ServerSideEncryption": settings.encryption,
        "SSEKMSKeyId": settings.kms_key_id,
        "StorageClass": settings.storage_class,
    }
    return {name: value for name, value in asked.items() if value}


def _quick_put(session: Any, client: Any, bucket: str, settings: S3Settings) -> QuickPut | None:
    """Return the quick way to a bucket, None where only the SDK knows the way."""
    credentials = session.get_credentials()
    is_plain = re.fullmatch(r"[a-z0-9.-]{3,63}", bucket) and not bucket.endswith("--x-s3")
    if credentials is None or not is_plain or getproxies():
        return None
    signed = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    url, _, _ = signed.partition("?")
    if not url.endswith("/k"):
        return None

    def current() -> Credentials:
        return Credentials(*credentials.get_frozen_credentials()[:3])

    quick = QuickPut(url[:-1], client.meta.region_name, current)
    quick.timeout_s = settings.request_timeout_s
    if url.startswith("https:"):
        trusted = session.get_config_variable("ca_bundle") or where()
        quick.context = ssl.create_default_context(cafile=trusted)
    return quick


def _options(settings: S3Settings) -> dict[str, Any]:
    config = Config(
        connect_timeout=min(10.0, settings.request_timeout_s),
        read_timeout=settings.request_timeout_s,
        retries={"mode": "standard", "total_max_attempts": settings.attempts_count},
        max_pool_connections=settings.connections_count,
        s3={"addressing_style": "path" if settings.path_style else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_supported",
    )
    return {
        "region_name": settings.region,
        "endpoint_url": settings.endpoint or None,
        "config": config,
    }
