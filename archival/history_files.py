"""Histories as one file each, the layout of Temporal's file archiver.

A file is a JSON array of batches; ours have one batch a line, so that they are read in pieces.
Names come from fingerprints of the ids: a file that holds another history is never overwritten.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from archival.blobs import checked, elements, is_full, is_same, parse_batch
from archival.history_objects import ABSENT
from archival.layout import history_file, history_file_stem, history_files_of
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

_OPEN: Final = b"[\n"
_BETWEEN: Final = b",\n"
_CLOSE: Final = b"\n]"
_SAME, _OTHER, _BROKEN = "same", "other", "broken"


class HistoryFiles:
    """A `archive.Histories` with one file for each history."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, run: ClosedRun) -> Written:
        """Write a history unless it is there; raises Refused."""
        name = history_file(run.key, run.close_version)
        if self._store.size(name) is None:
            body = _Body(run)
            if self._store.put_new(name, body.pieces()):
                return body.written()
        return self._compared(name, run)

    def page(
        self, key: RunKey, size: int, token: bytes = b"", version: int | None = None
    ) -> HistoryPage:
        """Return whole batches of about `size` events; raises NotFound, Damaged."""
        at = unpack_token(token) if token else HistoryToken(self._version(key, version))
        name = history_file(key, at.close_failover_version)
        batches: list[history.History] = []
        for number, json in enumerate(self._elements(name)):
            if number < at.next_batch_idx:
                continue
            if is_full(batches, size):
                token = HistoryToken(at.close_failover_version, 0, number).pack()
                return HistoryPage(tuple(batches), token)
            batches.append(_parsed(name, json))
        return HistoryPage(tuple(batches))

    def bodies(self, key: RunKey, version: int) -> Iterator[bytes]:
        """Return the bytes of the file."""
        try:
            yield from self._store.read(history_file(key, version))
        except Missing:
            return

    def last_event(self, key: RunKey) -> history.HistoryEvent:
        """Return the last event of a history; raises NotFound, Damaged."""
        name = history_file(key, self._version(key, None))
        json = b""
        for json in self._elements(name):  # noqa: B007 - the last one is wanted
            pass
        return _parsed(name, json).events[-1]

    def delete(self, key: RunKey) -> None:
        """Remove all versions of a history."""
        stem = f"{history_file_stem(key)}_"
        self._store.delete([one.key for one in self._store.list(stem)])

    def prefix(self, namespace_id: str) -> str:
        """Return how the names of a namespace's histories begin."""
        return history_files_of(namespace_id)

    def _compared(self, name: str, run: ClosedRun) -> Written:
        verdict = self._verdict(name, run)
        if verdict == _OTHER:
            raise Refused("history was mutated")
        body = _Body(run)
        if verdict == _BROKEN:
            self._store.put(name, body.pieces())
        else:
            for _ in body.pieces():
                pass
        return self._digested(name, body)

    def _verdict(self, name: str, run: ClosedRun) -> str:
        """Say whether a file holds this history, another, or none."""
        theirs = self._elements(name)
        try:
            for batch in checked(run):
                json = next(theirs, None)
                if json is None:
                    return _BROKEN
                if json != batch.json and not is_same(batch.events, parse_batch(json)):
                    return _OTHER
            return _SAME if next(theirs, None) is None else _OTHER
        except (Malformed, Damaged):
            return _BROKEN

    def _digested(self, name: str, body: "_Body") -> Written:
        digest, size = hashlib.sha256(), 0
        for piece in self._store.read(name):
            digest.update(piece)
            size += len(piece)
        ours = body.written()
        return Written(ours.version, 1, size, digest.digest(), ours.events_count)

    def _version(self, key: RunKey, version: int | None) -> int:
        if version is not None:
            return version
        stem = f"{history_file_stem(key)}_"
        found = [one.key[len(stem) :].removesuffix(".history") for one in self._store.list(stem)]
        versions = [int(one) for one in found if one.removeprefix("-").isdecimal()]
        if not versions:
            raise NotFound(ABSENT)
        return max(versions)

    def _elements(self, name: str) -> Iterator[bytes]:
        """Return the batches of a file as JSON; raises NotFound, Damaged."""
        try:
            pieces = self._store.read(name)
            first = next(pieces, b"")
            if first.startswith(_OPEN):
                yield from _lines(name, first[len(_OPEN) :], pieces)
            else:
                yield from elements(b"".join([first, *pieces]))
        except Missing:
            raise NotFound(ABSENT) from None
        except Malformed as error:
            raise Damaged(f"{name!r}: {error}") from error


class _Body:
    """A file in the making: its pieces, and what they were once they are gone through."""

    def __init__(self, run: ClosedRun) -> None:
        self._run = run
        self._digest = hashlib.sha256()
        self._size = 0

    def pieces(self) -> Iterator[bytes]:
        """Return the file, a batch at a time; raises Refused."""
        between = _OPEN
        for batch in checked(self._run):
            yield self._counted(between + batch.json)
            between = _BETWEEN
        yield self._counted(_CLOSE)

    def written(self) -> Written:
        """Return what was written."""
        run = self._run
        return Written(run.close_version, 1, self._size, self._digest.digest(), run.last_event_id)

    def _counted(self, piece: bytes) -> bytes:
        self._digest.update(piece)
        self._size += len(piece)
        return piece


def _lines(name: str, first: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return the lines of one of our files; raises Damaged where it ends early."""
    rest = first
    for piece in chain([b""], pieces):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.removesuffix(b",") for line in whole)
    if rest != b"]":
        raise Damaged(f"expected {name!r} to end with its array, found it cut off")


def _parsed(name: str, json: bytes) -> history.History:
    try:
        return parse_batch(json)
    except Malformed as error:
        raise Damaged(f"{name!r}: {error}") from error
