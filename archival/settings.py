"""Settings of archives."""

from typing import Literal

import msgspec


class S3Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How an S3 service is reached and written to; credentials come from the default chain."""

    endpoint: str = ""
    """URL of the service; empty: AWS itself."""
    region: str = "us-east-1"
    """Region of the buckets."""
    path_style: bool = False
    """Whether the bucket stands in the path instead of the host name."""
    profile: str = ""
    """Profile of the shared credentials file; empty: the default one."""
    encryption: str = ""
    """Encryption asked for: `AES256`, `aws:kms` or `aws:kms:dsse`; empty: the bucket's."""
    kms_key_id: str = ""
    """KMS key for `aws:kms`; empty: the account's."""
    storage_class: str = ""
    """Storage class of what is written; empty: the bucket's default."""
    request_timeout_s: float = 60.0
    """Longest wait for one answer, seconds."""
    attempts_count: int = 5
    """How often a request is tried, with growing, random pauses, before it is given up."""
    part_bytes: int = 16 << 20
    """Bodies above this are uploaded in parts of this size, bytes."""
    connections_count: int = 32
    """Most connections kept open."""


class FileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How files of an archive are made."""

    file_mode: str = "0644"
    """Permission bits of files, octal."""
    folder_mode: str = "0755"
    """Permission bits of folders, octal."""


class LakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The searchable records of archived runs."""

    segment_rows_count: int = 131_072
    """Most runs in one Parquet file."""
    segment_bytes: int = 32 << 20
    """About the most bytes of one Parquet file; a merge holds some times this in memory."""
    group_bytes: int = 4 << 20
    """About how many bytes are read at once, uncompressed."""
    fanout_count: int = 8
    """How many files of one size are merged into one of the next."""
    page_requests_count: int = 16
    """Most requests to the store for one page of a list; a page ends early rather than ask more."""
    page_rows_count: int = 500_000
    """Most runs looked at for one page of a list."""


class ArchivalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Archives of closed runs."""

    state: Literal["enabled", "paused", "disabled"] = "enabled"
    """`paused`: what closes waits; `disabled`: namespaces cannot change where they archive."""
    history_uri: str = ""
    """Where namespaces archive histories that name no URI; empty: a folder beside the data."""
    visibility_uri: str = ""
    """Where namespaces archive visibility records that name no URI; empty: as above."""
    namespace_state: Literal["enabled", "disabled"] = "disabled"
    """Whether namespaces archive that were registered without a word about it."""
    gather_s: float = 1.0
    """So long what closes waits for more, so that many runs share a file of the lake, seconds."""
    batch_runs_count: int = 256
    """Most runs archived at once, of one partition."""
    batch_bytes: int = 4 << 20
    """About the most bytes of history in memory at once, of one partition."""
    retry_s: float = 60.0
    """Longest pause until an archive that is away is tried again, seconds."""
    blob_bytes: int = 2 << 20
    """Size at which a history goes on in another object, bytes."""
    workers_count: int = 16
    """Runs written at a time, a number: each waits for the store most of its time."""
    s3: S3Settings = S3Settings()
    """Archives at `s3://`."""
    files: FileSettings = FileSettings()
    """Archives at `file://`."""
    lake: LakeSettings = LakeSettings()
    """Searching archives."""
