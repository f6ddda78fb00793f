"""The search store in Elasticsearch: for several nodes, through the official client.

Readers use an alias; it leads to the live generation, an index of its own. Writers name the
generation they have read the cursors of, by an alias that only it has and loses in the moment
another becomes live: from then on they are Superseded, so no write and no cursor goes astray.
Versions are external: a change that is not newer is refused by the cluster, and counts as done.
The cluster needs no scripts, no reindexing and no delete-by-query.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import elasticsearch
import msgspec
from elasticsearch import Elasticsearch

from schemas.errors import InvalidArgument, ResourceExhausted, ServiceError, Unavailable
from schemas.temporal import enums
from search import mapping
from search.attributes import Value
from search.bulks import Action, BulkSize, backoff_delays
from search.document import Document
from search.elastic_writes import Outcome, Writes, outcome_of
from search.pages import SortValue, orderings, pack_token, unpack_token
from search.query.expressions import Query
from search.settings import ElasticSettings
from search.store import (
    Batch,
    CatchUp,
    Cursor,
    Health,
    Page,
    Position,
    RunKey,
    Superseded,
    already,
)
from search.to_elastic import grouping, search_query, sort

_SETTINGS: Final = ElasticSettings()
_GROUPS: Final = "groups"
_CURSORS_MAX: Final = 10_000
_TOMBSTONES: Final = 1_000
_INFINITY: Final = {"Infinity": float("inf"), "-Infinity": float("-inf")}
_Cause = enums.ResourceExhaustedCause
_Scope = enums.ResourceExhaustedScope


class ElasticStore:
    """A search store in a cluster; opening it asks nothing of the cluster yet."""

    def __init__(
        self,
        settings: ElasticSettings = _SETTINGS,
        *,
        clock: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
        generation: str = "",
    ) -> None:
        """Open the live generation, or `generation`, which is being built beside it."""
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._beside = generation
        self._is_ready = bool(generation)
        self._client = _client(settings)
        self._size = BulkSize(settings.bulk_count, settings.bulk_bytes)

    def position(self) -> Position:
        """Return the cursors of what is durably in the store."""
        with self._asking("position"):
            generation = self._generation()
            return Position(generation, self._cursors(generation))

    def write(self, batch: Batch, generation: str) -> None:
        """Write a batch durably; Superseded if `generation` is not the one to write to."""
        self._prepare()
        writes = Writes(batch, self._clock())
        self._write(writes, _writes_alias(generation))
        if batch.cursors:
            self._write_cursors(batch.cursors, _writes_alias(generation))

    def refresh(self) -> None:
        """Return when everything written before is visible to lists and counts."""
        with self._asking("refresh"):
            self._client.indices.refresh(index=self._target)

    def find(self, runs: Sequence[RunKey]) -> dict[RunKey, Document]:
        """Return the records of some runs as they were last written."""
        by_id = {mapping.id_of(*run): run for run in runs}
        with self._asking("find"):
            answer = self._client.mget(
                index=self._target, ids=list(by_id), source_includes=[mapping.RECORD]
            )
        sources = {by_id[each["_id"]]: each.get("_source", {}) for each in answer["docs"]}
        return {
            run: mapping.document_of(source[mapping.RECORD])
            for run, source in sources.items()
            if mapping.RECORD in source  # a deleted run has none
        }

    def list(self, namespace_id: str, query: Query, size: int, token: bytes = b"") -> Page:
        """Return a page: open runs first, then the newest closed, unless the query says else."""
        after = unpack_token(token, orderings(query))
        with self._asking("ListWorkflowExecutions"):
            answer = self._client.search(
                index=self._target,
                query=search_query(namespace_id, query.where),
                sort=sort(query),
                size=size + 1,
                source=False,
                stored_fields="_none_",
                docvalue_fields=[{"field": mapping.RECORD}],
                track_total_hits=False,
                allow_partial_search_results=False,
                search_after=[_sent(value) for value in after] or None,
            )
        hits = answer["hits"]["hits"]
        shown = hits[:size]
        documents = tuple(mapping.document_of(hit["fields"][mapping.RECORD][0]) for hit in shown)
        is_last = len(hits) <= size
        token = b"" if is_last else pack_token(_sort_values(shown[-1]["sort"], query))
        return Page(documents, token)

    def count(self, namespace_id: str, query: Query) -> int:
        """Return how many runs match."""
        with self._asking("CountWorkflowExecutions"):
            where = search_query(namespace_id, query.where)
            return int(self._client.count(index=self._target, query=where)["count"])

    def count_groups(self, namespace_id: str, query: Query) -> dict[Value, int]:
        """Return how many runs match by value of `query.group_by`; lacking it counts as ""."""
        assert query.group_by is not None, "expected a query with GROUP BY"
        with self._asking("CountWorkflowExecutions"):
            answer = self._client.search(
                index=self._target,
                query=search_query(namespace_id, query.where),
                size=0,
                track_total_hits=False,
                allow_partial_search_results=False,
                aggregations={_GROUPS: grouping(query.group_by)},
            )
        buckets = answer["aggregations"][_GROUPS]["buckets"]
        return {bucket["key"]: bucket["doc_count"] for bucket in buckets}

    def add_attributes(self, namespace_id: str, attributes: Mapping[str, int]) -> None:  # noqa: ARG002 - fields are everybody's
        """Make custom attributes (name to type) searchable, at once and on every node."""
        added = mapping.attribute_mapping(attributes)
        with self._asking("AddSearchAttributes"):
            self._client.indices.put_mapping(
                index=self._target, properties=added["properties"], timeout="30s"
            )

    def forget_deletions(self, before: int) -> int:
        """Forget what keeps runs deleted before an instant (ns) from coming back; how many."""
        forgotten = 0
        with self._asking("forget_deletions"):
            self._client.indices.refresh(index=self._target)
            while hits := self._old_tombstones(before):
                lines = [{"delete": _exactly(hit)} for hit in hits]
                self._client.bulk(index=self._target, operations=lines, refresh=True)
                forgotten += len(hits)
        return forgotten

    def beside(self) -> Self:
        """Return an empty store that is built beside the live one, for `replace_by`."""
        with self._asking("beside"):
            live = self._generation()
            name = _name(self._settings.index, _number(live) + 1)
            for left in self._client.indices.get(index=f"{self._settings.index}-*"):
                if left != live and _is_generation(left, self._settings.index):
                    self._client.options(ignore_status=404).indices.delete(index=left)
            self._client.indices.create(
                index=name, aliases={_writes_alias(name): {}}, settings=mapping.UNSEEN
            )
        return type(self)(self._settings, clock=self._clock, sleep=self._sleep, generation=name)

    def replace_by(self, rebuilt: Self, catch_up: CatchUp = already) -> None:
        """Make a store from `beside` the live one atomically and remove the old one.

        It catches up before, and once more with what came in until the change.
        """
        catch_up(self.position().cursors)
        rebuilt.refresh()
        alias, new = self._settings.index, rebuilt._beside
        with self._asking("replace_by"):
            self._client.indices.put_settings(index=new, settings=mapping.seen(self._settings))
            old = self._generation()
            actions: list[dict[str, Any]] = [
                {"add": {"index": new, "alias": alias}},
                {"remove": {"index": old, "alias": alias}},
                {"remove": {"index": old, "alias": _writes_alias(old)}},
            ]
            self._client.indices.update_aliases(actions=actions)
            catch_up(self._cursors(old))
            self._client.options(ignore_status=404).indices.delete(index=old)
        rebuilt.close()

    def discard(self) -> None:
        """Remove a store from `beside` that is not wanted."""
        assert self._beside, "expected a store that was built beside the live one"
        with self._asking("discard"):
            if self._beside not in self._client.indices.get_alias(name=self._settings.index):
                self._client.options(ignore_status=404).indices.delete(index=self._beside)
        self.close()

    def health(self) -> Health:
        """Say how it is; does not raise."""
        description = f"Elasticsearch at {', '.join(self._settings.urls)}"
        try:
            with self._asking("health"):
                state = self._client.cluster.health(index=self._target, timeout="1s")
                own = {"exists": {"field": "RunId"}}
                count = self._client.count(index=self._target, query=own)["count"]
        except ServiceError as error:
            return Health(is_serving=False, description=f"{description}: {error.message}")
        is_serving = state["status"] in ("green", "yellow")
        return Health(is_serving, f"{description}: {state['status']}", int(count))

    def close(self) -> None:
        """Close it; idempotent."""
        self._client.close()

    # -- indexes

    @property
    def _target(self) -> str:
        """What readers read: the alias, or the index that is being built."""
        return self._beside or self._settings.index

    def _generation(self) -> str:
        """Return the index that is written to."""
        if self._beside:
            return self._beside
        found = self._client.indices.get_alias(name=self._settings.index)
        return max(found)

    def _cursors(self, generation: str) -> dict[int, Cursor]:
        """Return the cursors of an index, whose changes are visible then."""
        self._client.indices.refresh(index=generation)
        found = self._client.search(
            index=generation,
            query={"exists": {"field": mapping.PARTITION}},
            size=_CURSORS_MAX,
        )
        return dict(mapping.cursor_of(hit["_source"]) for hit in found["hits"]["hits"])

    def _prepare(self) -> None:
        """Make the template and the first index where they are missing, once."""
        if self._is_ready:
            return
        with _translated("prepare"):
            alias = self._settings.index
            template = mapping.index_template(self._settings)
            self._client.indices.put_index_template(
                name=alias,
                index_patterns=template["index_patterns"],
                template=template["template"],
            )
            if not self._client.indices.exists_alias(name=alias):
                name = _name(alias, 1)
                self._client.options(ignore_status=400).indices.create(  # another node was first
                    index=name, aliases={alias: {}, _writes_alias(name): {}}
                )
        self._is_ready = True

    @contextmanager
    def _asking(self, operation: str) -> Iterator[None]:
        self._prepare()
        with _translated(operation):
            yield

    def _old_tombstones(self, before: int) -> Sequence[Mapping[str, Any]]:
        found = self._client.search(
            index=self._target,
            query={"range": {mapping.DELETED_AT: {"lt": before}}},
            size=_TOMBSTONES,
            source=False,
            seq_no_primary_term=True,
        )
        hits: Sequence[Mapping[str, Any]] = found["hits"]["hits"]
        return hits

    # -- writes

    def _write(self, writes: Writes, alias: str) -> None:
        """Send bulks until every change is in; patient with a cluster that is busy or away."""
        deadline = time.monotonic() + self._settings.write_timeout_s
        delays = backoff_delays()
        while writes.pending:
            bulk = self._size.next_bulk(writes.pending)
            reason = self._send(bulk, writes, alias)
            if not reason:
                delays = backoff_delays()
                continue
            self._size.on_refused()
            if time.monotonic() >= deadline:
                raise Unavailable(f"search store: {len(writes.pending)} changes wait: {reason}")
            self._sleep(next(delays) * random.uniform(0.5, 1.5))  # noqa: S311 - only jitter

    def _send(self, bulk: Sequence[Action], writes: Writes, alias: str) -> str:
        """Send one bulk and note what became of it; return why some of it must wait."""
        begun = time.monotonic()
        lines: Any = [line for action in bulk for line in _lines(action)]  # bytes go as they are
        try:
            answer = self._client.bulk(
                index=alias,
                operations=lines,
                require_alias=True,
                filter_path="errors,items.*.status,items.*.error",
            )
        except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
            return _error_of(error, "bulk").message
        self._size.on_answered(time.monotonic() - begun)
        outcomes = [Outcome.DONE] * len(bulk)
        if answer.get("errors", True):
            outcomes = [outcome_of(item["index"]) for item in answer["items"]]
        if Outcome.SUPERSEDED in outcomes:
            raise Superseded(f"expected to write to the live index, but {alias} is gone")
        return writes.note(bulk, outcomes)

    def _write_cursors(self, cursors: Mapping[int, Cursor], alias: str) -> None:
        lines: list[dict[str, Any]] = []
        for partition, cursor in cursors.items():
            lines.append({"index": {"_id": mapping.cursor_id(partition)}})
            lines.append(mapping.cursor_source(partition, cursor))
        with _translated("cursors"):
            answer = self._client.bulk(index=alias, operations=lines, require_alias=True)
        for item in answer["items"]:
            outcome = outcome_of(item["index"])
            if outcome is Outcome.SUPERSEDED:
                raise Superseded(f"expected to write to the live index, but {alias} is gone")
            if outcome is not Outcome.DONE:
                raise Unavailable(f"search store: a cursor was refused: {item}")


def _client(settings: ElasticSettings) -> Elasticsearch:
    options: dict[str, Any] = {"request_timeout": settings.request_timeout_s, "max_retries": 0}
    if settings.api_key:
        options["api_key"] = settings.api_key
    elif settings.username:
        options["basic_auth"] = (settings.username, settings.password)
    if any(url.startswith("https") for url in settings.urls):
        options["verify_certs"] = settings.verify_certs
        options["ca_certs"] = settings.ca_certs or None
    return Elasticsearch(list(settings.urls), **options)


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Raise what the cluster answers as the errors that a caller knows."""
    try:
        yield
    except (elasticsearch.ApiError, elasticsearch.TransportError) as error:
        raise _error_of(error, operation) from error


def _error_of(
    error: elasticsearch.ApiError | elasticsearch.TransportError, operation: str
) -> ServiceError:
    message = f"{operation} failed: VisibilityStore: {_reason(error)}"
    status = error.status_code if isinstance(error, elasticsearch.ApiError) else 0
    if status == 400:
        return InvalidArgument(message)
    if status == 429:
        return ResourceExhausted(
            message,
            cause=_Cause.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED,
            scope=_Scope.RESOURCE_EXHAUSTED_SCOPE_SYSTEM,
        )
    return Unavailable(message)


def _reason(error: elasticsearch.ApiError | elasticsearch.TransportError) -> str:
    if not isinstance(error, elasticsearch.ApiError):
        return str(error)
    body = error.body if isinstance(error.body, dict) else {}
    cause = body.get("error", {})
    kind = cause.get("type", "") if isinstance(cause, dict) else ""
    return f"Error {error.status_code}: {error.message} [type={kind}]"


def _lines(action: Action) -> tuple[bytes, bytes]:
    header = {"_id": action.id, "version": action.version, "version_type": "external"}
    return msgspec.json.encode({"index": header}), action.source


def _exactly(hit: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a bulk names a document at one state of it."""
    return {
        "_id": hit["_id"],
        "if_seq_no": hit["_seq_no"],
        "if_primary_term": hit["_primary_term"],
    }


def _sort_values(values: Sequence[Any], query: Query) -> tuple[SortValue, ...]:
    found = []
    for value, ordering in zip(values, orderings(query), strict=True):
        is_double = ordering.column.type.label == "Double"
        found.append(_INFINITY.get(value, value) if is_double else value)
        if is_double:
            found[-1] = float(found[-1])
    return tuple(found)


def _sent(value: SortValue) -> SortValue:
    """Return a sort value as JSON can carry it."""
    if isinstance(value, float) and value in _INFINITY.values():
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _writes_alias(generation: str) -> str:
    return f"{generation}-writes"


def _name(alias: str, number: int) -> str:
    return f"{alias}-{number:06d}"


def _is_generation(index: str, alias: str) -> bool:
    """Whether an index is one of ours; what is called `<alias>-other-000001` is somebody else's."""
    prefix, _, number = index.rpartition("-")
    return prefix == alias and number.isdecimal()


def _number(generation: str) -> int:
    return int(generation.rpartition("-")[2])
