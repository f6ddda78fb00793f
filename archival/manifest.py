"""Which files the lake of a namespace consists of: one small object, a new one for each change.

Their names count down, so that the newest is the first of a listing: finding it is one request
however many there are. A change is an object that nobody may write twice; who comes second reads
again and repeats its change on top. Nothing is locked and nothing is overwritten.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from archival.run import Damaged
from archival.store import Missing, Store
from schemas.errors import Unavailable

FORMAT: Final = 1
_LAST: Final = 10**12
_KEPT: Final = 200
_ATTEMPTS: Final = 20


class Segment(msgspec.Struct, frozen=True):
    """A Parquet file of the lake."""

    key: str
    rows_count: int
    size_bytes: int
    closed: tuple[int, int]  # first and last, ns
    started: tuple[int, int]
    types: Mapping[str, int] | None = None  # how many runs of each; None: too many types

    @property
    def month(self) -> str:
        """The folder it lies in."""
        return self.key.rpartition("/")[0]


class Gone(msgspec.Struct, frozen=True, array_like=True):
    """A run that was deleted and still stands in a file."""

    run_id: str
    closed_at: int


class Manifest(msgspec.Struct, frozen=True):
    """What the lake is at one moment."""

    number: int = 0
    segments: tuple[Segment, ...] = ()
    gone: tuple[Gone, ...] = ()
    format: int = FORMAT

    @property
    def rows_count(self) -> int:
        """How many runs stand in the files."""
        return sum(one.rows_count for one in self.segments)


Change = Callable[[Manifest], Manifest | None]
"""What to make of a manifest; None: nothing is to be changed."""

_decoder = msgspec.json.Decoder(Manifest)


class Manifests:
    """The manifests of one lake."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._read: tuple[str, Manifest] = ("", Manifest())
        self.requests_count = 0

    def latest(self) -> Manifest:
        """Return the newest manifest; one without files where there is none."""
        for _ in range(_ATTEMPTS):
            key = self._newest()
            known, manifest = self._read
            if key is None:
                return Manifest()
            if key == known:
                return manifest
            try:
                self.requests_count += 1
                manifest = _decoder.decode(self._store.get(key))
            except Missing:
                continue
            except msgspec.DecodeError as error:
                raise Damaged(f"expected a manifest at {key!r}: {error}") from error
            self._read = (key, manifest)
            return manifest
        raise Unavailable("expected to read the lake's manifest, it changed under every try")

    def commit(self, change: Change) -> Manifest:
        """Make a change on top of the newest manifest and return what it is then."""
        for _ in range(_ATTEMPTS):
            base = self.latest()
            changed = change(base)
            if changed is None:
                return base
            changed = msgspec.structs.replace(changed, number=base.number + 1)
            if self._written(changed):
                self._forget(changed.number)
                return changed
        raise Unavailable("expected to change the lake's manifest, others did at every try")

    def _written(self, manifest: Manifest) -> bool:
        """Write a manifest unless its number is taken, or was and is forgotten already."""
        key = self._key(manifest.number)
        body = msgspec.json.encode(manifest)
        self.requests_count += 1
        if not self._store.put_new(key, (body,)) and not self._is(key, body):
            return False
        newest = self._newest()
        ahead = _number(newest) - manifest.number if newest is not None else 0
        if ahead > _KEPT // 2:
            self._store.delete([key])
            return False
        if ahead == 0:
            self._read = (key, manifest)
        return True

    def _is(self, key: str, body: bytes) -> bool:
        """Whether an object is ours: the answer to our write was lost."""
        try:
            return self._store.get(key) == body
        except Missing:
            return False

    def _newest(self) -> str | None:
        self.requests_count += 1
        found = next(iter(self._store.list(f"{self._folder}/", limit=1)), None)
        return found.key if found else None

    def _forget(self, number: int) -> None:
        if number > _KEPT:
            self._store.delete([self._key(number - _KEPT)])

    def _key(self, number: int) -> str:
        return f"{self._folder}/{_LAST - number:013}.json"


def _number(key: str) -> int:
    return _LAST - int(key.rpartition("/")[2].removesuffix(".json"))
