"""Histories as numbered objects, the layout of Temporal's S3 archiver.

An object, once written, decides which events it holds: a second archiver, of whatever version or
settings, goes on behind it, and writes the same events into it or none. So two never mix. Nothing
but the last object says that it is the last: a history without one is not whole.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Final

from archival.blobs import Batch, Blob, body_of, checked, is_full, is_same, parse_blob
from archival.layout import history_folders, namespace_folder
from archival.proto_json import Malformed
from archival.run import (
    ClosedRun,
    Damaged,
    HistoryPage,
    HistoryToken,
    Refused,
    RunKey,
    Written,
    unpack_token,
)
from archival.store import Missing, Store
from schemas.errors import NotFound
from schemas.temporal import history

ABSENT: Final = "requested workflow history does not exist"


class HistoryObjects:
    """A `archive.Histories` in numbered objects."""

    def __init__(self, store: Store, blob_bytes: int) -> None:
        self._store = store
        self._blob_bytes = blob_bytes

    def write(self, run: ClosedRun) -> Written:
        """Write a history, or what is missing of it; raises Refused."""
        folder = f"{history_folders(run.key)[0]}{run.close_version}/"
        ahead = _Ahead(checked(run), self._blob_bytes)
        digest, size, number = hashlib.sha256(), 0, 0
        while not ahead.is_empty():
            stored = self._write_blob(f"{folder}{number}", run, ahead)
            digest.update(stored)
            size += len(stored)
            number += 1
        return Written(run.close_version, number, size, digest.digest(), run.last_event_id)

    def page(
        self, key: RunKey, size: int, token: bytes = b"", version: int | None = None
    ) -> HistoryPage:
        """Return whole batches of about `size` events; raises NotFound, Damaged."""
        folder, at = self._start(key, token, version)
        batches: list[history.History] = []
        number, batch_number = at.batch_idx, at.next_batch_idx
        while True:
            blob = self._blob(key, f"{folder}{at.close_failover_version}/{number}", number)
            for batch in _read(blob, batch_number):
                if is_full(batches, size):
                    token = HistoryToken(at.close_failover_version, number, batch_number).pack()
                    return HistoryPage(tuple(batches), token)
                batches.append(batch)
                batch_number += 1
            if blob.is_last:
                return HistoryPage(tuple(batches))
            number, batch_number = number + 1, 0

    def bodies(self, key: RunKey, version: int) -> Iterator[bytes]:
        """Return the bytes of the objects in their order, as long as there are any."""
        folder, _ = self._start(key, b"", version)
        number = 0
        while (body := self._get(f"{folder}{version}/{number}")) is not None:
            yield body
            number += 1

    def last_event(self, key: RunKey) -> history.HistoryEvent:
        """Return the last event of a history; raises NotFound, Damaged."""
        folder, at = self._start(key, b"", None)
        names = self._store.list(f"{folder}{at.close_failover_version}/")
        numbers = [int(last) for one in names if (last := one.key.rpartition("/")[2]).isdecimal()]
        number = max(numbers, default=0)
        blob = self._blob(key, f"{folder}{at.close_failover_version}/{number}", number)
        if not blob.is_last:
            raise Damaged(f"expected the end of the history of {key}, found none")
        *_, batch = _read(blob, 0)
        return batch.events[-1]

    def delete(self, key: RunKey) -> None:
        """Remove all versions of a history: the last object first, so that no half looks whole."""
        names = [one.key for one in self._store.list(history_folders(key)[0])]
        names.sort(key=lambda name: (len(name), name), reverse=True)
        self._store.delete(names)

    def prefix(self, namespace_id: str) -> str:
        """Return how the names of a namespace's histories begin."""
        return f"{namespace_folder(namespace_id)}/history/"

    def _write_blob(self, name: str, run: ClosedRun, ahead: "_Ahead") -> bytes:
        batches = ahead.take()
        body = body_of(run, batches, is_last=ahead.is_empty())
        if self._store.put_new(name, (body,)):
            return body
        found = self._store.get(name)
        return found if found == body else self._adopted(name, run, (batches, ahead, found))

    def _adopted(self, name: str, run: ClosedRun, at: tuple[list[Batch], "_Ahead", bytes]) -> bytes:
        """Keep the events of an object that is there; what is no blob at all is replaced."""
        batches, ahead, found = at
        try:
            theirs = parse_blob(found)
            held = list(theirs.batches())
        except Malformed:
            return self._replaced(name, body_of(run, batches, is_last=ahead.is_empty()))
        if theirs.key != run.key:
            raise Refused(f"expected {name!r} to belong to {run.key}, found {theirs.key}")
        ours = ahead.fit(batches, len(held))
        if len(ours) != len(held) or theirs.is_last != ahead.is_empty():
            raise Refused("history was mutated")
        pairs = list(zip((one.events for one in ours), held, strict=True))
        if not all(is_same(one, other) for one, other in pairs):
            raise Refused("history was mutated")
        if all(one == other for one, other in pairs):
            return found
        return self._replaced(name, body_of(run, ours, is_last=ahead.is_empty()))

    def _replaced(self, name: str, body: bytes) -> bytes:
        self._store.put(name, (body,))
        return body

    def _start(self, key: RunKey, token: bytes, version: int | None) -> tuple[str, HistoryToken]:
        """Return the folder of a run and where to begin in it."""
        folders = history_folders(key)
        at = unpack_token(token) if token else None
        if at is None and version is not None:
            at = HistoryToken(version)
        if at is not None and len(folders) == 1:
            return folders[0], at
        for folder in folders:
            versions = [int(one) for one in self._store.folders(folder) if _is_number(one)]
            if at is not None and at.close_failover_version in versions:
                return folder, at
            if at is None and versions:
                return folder, HistoryToken(max(versions))
        raise NotFound(ABSENT)

    def _blob(self, key: RunKey, name: str, number: int) -> Blob:
        body = self._get(name)
        if body is None:
            if number == 0:
                raise NotFound(ABSENT)
            raise Damaged(
                f"expected the archived history of {key} to be whole, {name!r} is missing"
            )
        try:
            blob = parse_blob(body)
        except Malformed as error:
            raise Damaged(f"{name!r}: {error}") from error
        if blob.key != key:
            raise NotFound(ABSENT)
        return blob

    def _get(self, name: str) -> bytes | None:
        try:
            return self._store.get(name)
        except Missing:
            return None


class _Ahead:
    """Batches to write, one of them read ahead, so that the end is known before it is written."""

    def __init__(self, batches: Iterator[Batch], target_bytes: int) -> None:
        self._batches = batches
        self._target_bytes = target_bytes
        self._waiting: deque[Batch] = deque()
        self._read()

    def is_empty(self) -> bool:
        """Whether the history ends here."""
        return not self._waiting

    def take(self) -> list[Batch]:
        """Return the batches of one blob."""
        taken: list[Batch] = []
        size = 0
        while size < self._target_bytes and self._waiting:
            taken.append(self._next())
            size += len(taken[-1].json)
        return taken

    def fit(self, taken: list[Batch], count: int) -> list[Batch]:
        """Return so many batches from the first taken on; the rest waits, the lacking are read."""
        self._waiting.extendleft(reversed(taken[count:]))
        ours = taken[:count]
        while len(ours) < count and self._waiting:
            ours.append(self._next())
        return ours

    def _next(self) -> Batch:
        if len(self._waiting) == 1:
            self._read()
        return self._waiting.popleft()

    def _read(self) -> None:
        batch = next(self._batches, None)
        if batch is not None:
            self._waiting.append(batch)


def _read(blob: Blob, start: int) -> Iterator[history.History]:
    try:
        yield from blob.batches(start)
    except Malformed as error:
        raise Damaged(str(error)) from error


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal() and len(name) < 20
