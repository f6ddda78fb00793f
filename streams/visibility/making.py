"""Changes of runs made into searchable records, each upon the record before it.

Records of late are kept in a bounded cache, others are asked of the store, all of a batch in one
question. It is used by one thread at a time; asked again after a failure it makes the same.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from search.document import Document
from search.store import Batch, Cursor, Deletion
from streams.visibility.indexing import begins, changed, ends
from topology.decision import Change

_CACHED_MAX: Final = 20_000

Key = tuple[str, str]
"""Namespace id and run id."""


class Pending(NamedTuple):
    """A change that is not in the store yet."""

    change: Change
    seq: int  # of its transition: the version of the record
    decided_at: int

    @property
    def key(self) -> Key:
        """The run's."""
        return (self.change.namespace_id, self.change.run_id)


class Source(Protocol):
    """Where records are that are not in the cache."""

    def find(self, runs: Sequence[Key]) -> dict[Key, Document]:
        """Return the records of some runs as they were last written."""
        ...


class Making:
    """Makes the records of one store."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._cache: OrderedDict[Key, Document] = OrderedDict()

    def batch(self, pending: Sequence[Pending], cursors: Mapping[int, Cursor]) -> Batch:
        """Return what is to be written of the runs that were changed; may raise Unavailable."""
        found = self._found(pending)
        made: dict[Key, Document] = {}
        deletions: list[Deletion] = []
        for each in pending:
            key = each.key
            if ends(each.change):
                deletions.append(Deletion(*key, version=each.seq))
                made.pop(key, None)
                self._cache.pop(key, None)
                continue
            before = made.get(key) or self._cache.get(key) or found.get(key)
            if before is not None and before.version >= each.seq:
                made[key] = before  # it was made before, and perhaps not written
                continue
            document = changed(before, each.change, version=each.seq)
            if document is not None:
                made[key] = document
        for key, document in made.items():
            self._cache[key] = document
            self._cache.move_to_end(key)
        while len(self._cache) > _CACHED_MAX:
            self._cache.popitem(last=False)
        return Batch(list(made.values()), deletions, cursors)

    def forget(self) -> None:
        """Drop the cache: the store is another one now."""
        self._cache.clear()

    def _found(self, pending: Sequence[Pending]) -> dict[Key, Document]:
        """Ask the store for the records that the changes rest on."""
        missing: dict[Key, None] = {}
        begun: set[Key] = set()
        for each in pending:
            if begins(each.change) or ends(each.change):
                begun.add(each.key)
            elif each.key not in begun and each.key not in self._cache:
                missing[each.key] = None
        return self._source.find(list(missing)) if missing else {}
