"""A history as numbered blobs of JSON, the way Temporal's archiver writes them. Pure.

A blob holds whole batches, as many as reach the target size; its header says whose they are and
which, and whether it is the last.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from archival.proto_json import Malformed, fill, to_json
from archival.run import ClosedRun, Refused, RunKey
from schemas.temporal import history

TARGET_BYTES: Final = 2 << 20
PAGE_BYTES: Final = 3 << 20
"""Size at which a page of a history ends, however many events were asked for."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class Batch(msgspec.Struct, frozen=True):
    """One batch of events, and its JSON."""

    events: history.History
    json: bytes

    @property
    def first(self) -> history.HistoryEvent:
        """The first event."""
        return self.events.events[0]

    @property
    def last(self) -> history.HistoryEvent:
        """The last event."""
        return self.events.events[-1]


class Blob(msgspec.Struct, frozen=True):
    """What a blob holds; its batches are read when asked for."""

    key: RunKey
    is_last: bool
    body: list[Any]

    def batches(self, start: int = 0) -> Iterator[history.History]:
        """Return the batches from the one of this number on; raises Malformed."""
        for json in self.body[start:]:
            yield _filled(json)


def batch_of(events: history.History) -> Batch:
    """Return a batch with its JSON."""
    return Batch(events, _encoder.encode(to_json(events)))


def parse_batch(json: bytes) -> history.History:
    """Return a batch from its JSON; raises Malformed."""
    return _filled(_json(json))


def checked(run: ClosedRun) -> Iterator[Batch]:
    """Return the batches of a run; raises Refused where they are not the history it claims.

    The text is Temporal's: a history that another cluster goes on with must not be archived.
    """
    next_event_id = 1
    version = 0
    for events in run.batches:
        if not events.events:
            continue
        batch = batch_of(events)
        version = batch.last.version
        is_next = batch.first.event_id == next_event_id
        next_event_id = batch.last.event_id + 1
        if not is_next or version > run.close_version or next_event_id > run.last_event_id + 1:
            raise Refused("history was mutated")
        yield batch
    if next_event_id != run.last_event_id + 1 or version != run.close_version:
        raise Refused("history was mutated")


def body_of(run: ClosedRun, batches: list[Batch], *, is_last: bool) -> bytes:
    """Return the bytes of a blob."""
    first, last = batches[0].first, batches[-1].last
    header: dict[str, Any] = {
        "namespace": run.namespace,
        "namespaceId": run.key.namespace_id,
        "workflowId": run.key.workflow_id,
        "runId": run.key.run_id,
        "isLast": is_last,
        "firstFailoverVersion": _text(first.version),
        "lastFailoverVersion": _text(last.version),
        "firstEventId": _text(first.event_id),
        "lastEventId": _text(last.event_id),
        "eventCount": _text(sum(len(batch.events.events) for batch in batches)),
    }
    kept = {name: value for name, value in header.items() if value}
    joined = b",".join(batch.json for batch in batches)
    return b'{"header":' + _encoder.encode(kept) + b',"body":[' + joined + b"]}"


def parse_blob(body: bytes) -> Blob:
    """Return what a blob holds; raises Malformed."""
    json = _json(body)
    try:
        header, bodies = json["header"], json["body"]
        held = Blob(
            key=RunKey(*(_named(header, name) for name in ("namespaceId", "workflowId", "runId"))),
            is_last=header.get("isLast", header.get("is_last", False)) is True,
            body=list(bodies),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise Malformed(f"expected a history blob: {error!r}") from error
    if not held.body:
        raise Malformed("expected a history blob with events, found one without")
    return held


def elements(array: bytes) -> list[bytes]:
    """Return the elements of a JSON array as they stand; raises Malformed."""
    try:
        return [bytes(one) for one in msgspec.json.decode(array, type=list[msgspec.Raw])]
    except msgspec.DecodeError as error:
        raise Malformed(f"expected a JSON array of histories: {error}") from error


def events_count(batches: Iterable[history.History]) -> int:
    """Return how many events some batches hold."""
    return sum(len(batch.events) for batch in batches)


def is_full(batches: Iterable[history.History], size: int) -> bool:
    """Whether some batches are a page of so many events, or enough bytes for any page."""
    held = tuple(batches)
    return events_count(held) >= size or sum(map(_size_of, held)) >= PAGE_BYTES


def _size_of(batch: history.History) -> int:
    return batch.ByteSize()


def is_same(ours: history.History, theirs: history.History) -> bool:
    """Whether two batches are the same events, whatever version of the API wrote them."""
    pairs = zip(ours.events, theirs.events, strict=False)
    return len(ours.events) == len(theirs.events) and all(
        (one.event_id, one.event_type, one.version, one.event_time)
        == (other.event_id, other.event_type, other.version, other.event_time)
        for one, other in pairs
    )


def _filled(json: Any) -> history.History:
    batch = history.History()
    fill(batch, json)
    if not batch.events:
        raise Malformed("expected a batch of events, found none")
    return batch


def _json(text: bytes) -> Any:
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise Malformed(f"expected JSON: {error}") from error


def _text(number: int) -> str:
    return str(number) if number else ""


def _named(header: dict[str, Any], name: str) -> str:
    snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
    found = header.get(name, header.get(snake, ""))
    if not isinstance(found, str):
        raise Malformed(f"expected text as {name}, found {found!r}")
    return found
