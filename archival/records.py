"""Visibility records by name, in Temporal's two layouts."""

from collections.abc import Iterator
from typing import Final

from archival.layout import namespace_folder, record_file, record_object_of, record_objects
from archival.names import part
from archival.proto_json import Malformed, timestamp_parts
from archival.record import Record, parse_record
from archival.run import RunKey
from archival.store import Missing, Store

_FEW: Final = 999


class RecordObjects:
    """A `archive.Records`: four copies of each, by type and workflow id, close and start."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def names(self, record: Record) -> tuple[str, ...]:
        """Return the names of its copies."""
        return record_objects(record)

    def find(self, key: RunKey, closed_at: int) -> bytes | None:
        """Return the record of a run that closed then."""
        for name in record_object_of(key, closed_at):
            text = _record_at(self._store, name, key)
            if text is not None:
                return text
        return None

    def all(self, namespace_id: str, after: str = "") -> Iterator[str]:
        """Return the name of every record once: of its copies the one by type and close."""
        folder = f"{namespace_folder(namespace_id)}/visibility/workflowTypeName/"
        for entry in self._store.list(folder, after=after):
            parts = entry.key.rsplit("/", 3)
            if len(parts) == 4 and parts[1] == "closeTimeout":
                yield entry.key

    def closed_in(self, namespace_id: str, workflow_id: str) -> tuple[int, ...] | None:
        """Return the seconds in which the runs of a workflow id closed; None if they are many."""
        prefix = f"{namespace_folder(namespace_id)}/visibility/workflowID/{part(workflow_id)}"
        names = self._store.list(f"{prefix}/closeTimeout/", limit=_FEW + 1)
        times = [entry.key.rsplit("/", 2)[1] for entry in names]
        if len(times) > _FEW:
            return None
        return tuple(sorted({timestamp_parts(one)[0] for one in times}))


class RecordFiles:
    """A `archive.Records`: one file each, in the folder of the namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def names(self, record: Record) -> tuple[str, ...]:
        """Return the name of its file."""
        return (record_file(record),)

    def find(self, key: RunKey, closed_at: int) -> bytes | None:
        """Return the record of a run that closed then."""
        return _record_at(self._store, record_file(_Place(key, closed_at)), key)

    def all(self, namespace_id: str, after: str = "") -> Iterator[str]:
        """Return the name of every record of a namespace."""
        for entry in self._store.list(f"{namespace_folder(namespace_id)}/", after=after):
            if entry.key.endswith(".visibility"):
                yield entry.key

    def closed_in(self, namespace_id: str, workflow_id: str) -> tuple[int, ...] | None:  # noqa: ARG002 - see Records
        """Files are not found by workflow id."""
        return None


class _Place:
    """What a file's name is made of."""

    workflow_type = ""
    started_at = 0

    def __init__(self, key: RunKey, closed_at: int) -> None:
        self.key = key
        self.closed_at = closed_at


def _record_at(store: Store, name: str, key: RunKey) -> bytes | None:
    """Return a record if it is this run's: a file's name tells runs apart by a hash only."""
    try:
        text = store.get(name)
        return text if parse_record(text).key == key else None
    except (Missing, Malformed):
        return None
