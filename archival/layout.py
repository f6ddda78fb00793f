"""Where Temporal's archivers put things: names of histories and records, pure.

Two layouts, as Temporal has two: one file for a history (`file://`), or numbered objects (`s3://`).
Where an id is not safe as it is, its name is encoded, and the name that Temporal would have
written is looked at second, when reading.
"""

from typing import Protocol

from archival.farm import fingerprint64
from archival.names import part
from archival.proto_json import timestamp_text
from archival.run import RunKey
from schemas.instants import SECOND

OURS = "millrace"
"""Folder of what Temporal does not have."""


class RecordPlace(Protocol):
    """What the names of a visibility record are made of."""

    @property
    def key(self) -> RunKey:
        """Which run."""
        ...

    @property
    def workflow_type(self) -> str:
        """Its type."""
        ...

    @property
    def started_at(self) -> int:
        """When it started, ns."""
        ...

    @property
    def closed_at(self) -> int:
        """When it closed, ns."""
        ...


def namespace_folder(namespace_id: str) -> str:
    """Return the folder of a namespace; never the one of what is ours."""
    name = part(namespace_id, 128)
    return "%6D" + name[1:] if name == OURS else name


def our_folder(namespace_id: str) -> str:
    """Return the folder of what we keep of a namespace beside Temporal's layout."""
    return f"{OURS}/{part(namespace_id, 128)}"


# Files: one history, one file; a record in the folder of its namespace.


def history_file(key: RunKey, version: int) -> str:
    """Return the name of a history's file."""
    return f"{history_file_stem(key)}_{version}.history"


def history_file_stem(key: RunKey) -> str:
    """Return how the names of a run's history files begin, whatever the version."""
    return "".join(
        str(fingerprint64(_bytes(one))) for one in (key.namespace_id, key.workflow_id, key.run_id)
    )


def history_files_of(namespace_id: str) -> str:
    """Return how the names of a namespace's history files begin."""
    return str(fingerprint64(_bytes(namespace_id)))


def record_file(place: RecordPlace) -> str:
    """Return the name of a record's file."""
    run = fingerprint64(_bytes(place.key.run_id))
    folder = namespace_folder(place.key.namespace_id)
    return f"{folder}/{place.closed_at}_{run}.visibility"


# Objects: a history in numbered objects; a record under its type and its workflow id, twice each.


def history_folders(key: RunKey) -> tuple[str, ...]:
    """Return the folders of a run's history: ours, and Temporal's where that differs."""
    ours = f"{namespace_folder(key.namespace_id)}/history/{part(key.workflow_id)}"
    ours = f"{ours}/{part(key.run_id, 128)}/"
    theirs = f"{key.namespace_id}/history/{key.workflow_id}/{key.run_id}/"
    return (ours,) if ours == theirs or not _is_clean(theirs) else (ours, theirs)


def record_objects(place: RecordPlace) -> tuple[str, ...]:
    """Return the names of the four copies of a record; the first is the one by workflow id."""
    folder = f"{namespace_folder(place.key.namespace_id)}/visibility"
    run = part(place.key.run_id, 128)
    by_id = f"{folder}/workflowID/{part(place.key.workflow_id)}"
    by_type = f"{folder}/workflowTypeName/{part(place.workflow_type)}"
    closed, started = _second(place.closed_at), _second(place.started_at)
    return (
        f"{by_id}/closeTimeout/{closed}/{run}",
        f"{by_id}/startTimeout/{started}/{run}",
        f"{by_type}/closeTimeout/{closed}/{run}",
        f"{by_type}/startTimeout/{started}/{run}",
    )


def record_object_of(key: RunKey, closed_at: int) -> tuple[str, ...]:
    """Return the names under which the record of a run is found: ours, and Temporal's."""
    folder = f"{namespace_folder(key.namespace_id)}/visibility/workflowID"
    rest = f"closeTimeout/{_second(closed_at)}"
    ours = f"{folder}/{part(key.workflow_id)}/{rest}/{part(key.run_id, 128)}"
    theirs = f"{key.namespace_id}/visibility/workflowID/{key.workflow_id}/{rest}/{key.run_id}"
    return (ours,) if ours == theirs or not _is_clean(theirs) else (ours, theirs)


def _second(instant: int) -> str:
    return timestamp_text(instant // SECOND, 0)


def _bytes(identifier: str) -> bytes:
    return identifier.encode(errors="surrogatepass")


def _is_clean(key: str) -> bool:
    """Whether a raw name can be asked for at all: an object of this name may exist."""
    if any(one in ("", ".", "..") for one in key.rstrip("/").split("/")):
        return False
    return len(_bytes(key)) <= 1_000 and key.isprintable()
