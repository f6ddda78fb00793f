"""What happened to a run as a change of its searchable record. Pure.

A record is replaced whole, so a change needs the record before it. Only a few kinds of events
matter: the first one, upserts, and the last one; and the fact that the run is deleted.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from schemas import event_types as on
from schemas.instants import instant_of, span_of
from schemas.temporal import common, history
from search.document import Document
from search.payloads import decode_all, merged
from topology.decision import Change, HistoryFact, StateFact
from topology.workflow.facts import RunDeleted, RunMeasured

RUNNING: Final = 1

CLOSED: Final[Mapping[int, int]] = {
    on.WORKFLOW_EXECUTION_COMPLETED: 2,
    on.WORKFLOW_EXECUTION_FAILED: 3,
    on.WORKFLOW_EXECUTION_CANCELED: 4,
    on.WORKFLOW_EXECUTION_TERMINATED: 5,
    on.WORKFLOW_EXECUTION_CONTINUED_AS_NEW: 6,
    on.WORKFLOW_EXECUTION_TIMED_OUT: 7,
}
"""The status that each closing event gives a run."""
_DELETED: Final = RunDeleted.__name__
_NULL: Final = (b"", b"null")
_MEASURED: Final = RunMeasured.__name__
_measured_of = msgspec.msgpack.Decoder(RunMeasured).decode


def concerns(change: Change) -> bool:
    """Whether a change alters the searchable record of its run."""
    return change.entity == "workflow" and any(
        fact.event_type in _FOLDS if isinstance(fact, HistoryFact) else fact.name == _DELETED
        for fact in change.facts
    )


def ends(change: Change) -> bool:
    """Whether a change deletes its run."""
    fact = change.facts[-1]
    return isinstance(fact, StateFact) and fact.name == _DELETED


def begins(change: Change) -> bool:
    """Whether a change begins its run, so that there is no record before it."""
    return any(
        isinstance(fact, HistoryFact) and fact.event_type == on.WORKFLOW_EXECUTION_STARTED
        for fact in change.facts
    )


def changed(document: Document | None, change: Change, *, version: int) -> Document | None:
    """Return the record after a change; None: there is none, the run began before the index."""
    for fact in change.facts:
        if isinstance(fact, StateFact):
            if fact.name == _MEASURED and document is not None:
                document = _measured(document, _measured_of(fact.body))
        elif fact.event_type == on.WORKFLOW_EXECUTION_STARTED:
            document = _started(change, history.HistoryEvent.FromString(fact.body))
        elif document is not None and (fold := _FOLDS.get(fact.event_type)) is not None:
            document = fold(document, history.HistoryEvent.FromString(fact.body))
    return None if document is None else replace(document, version=version)


def _started(change: Change, event: history.HistoryEvent) -> Document:
    given = event.workflow_execution_started_event_attributes
    at = instant_of(event.event_time)
    parent, root = given.parent_workflow_execution, given.root_workflow_execution
    return Document(
        namespace_id=change.namespace_id,
        workflow_id=change.id,
        run_id=change.run_id,
        version=1,
        workflow_type=given.workflow_type.name,
        status=RUNNING,
        started_at=at,
        execution_at=at + span_of(given.first_workflow_task_backoff),
        task_queue=given.task_queue.name,
        parent_workflow_id=parent.workflow_id,
        parent_run_id=parent.run_id,
        root_workflow_id=root.workflow_id or change.id,
        root_run_id=root.run_id or change.run_id,
        memo=given.memo.SerializeToString() if given.HasField("memo") else b"",
        attributes=merged({}, decode_all(given.search_attributes)),
    )


def _upserted(document: Document, event: history.HistoryEvent) -> Document:
    given = event.upsert_workflow_search_attributes_event_attributes.search_attributes
    return replace(document, attributes=merged(document.attributes, decode_all(given)))


def _modified(document: Document, event: history.HistoryEvent) -> Document:
    memo = common.Memo.FromString(document.memo)
    given = event.workflow_properties_modified_event_attributes.upserted_memo
    for name, payload in given.fields.items():
        if payload.data in _NULL or payload.metadata.get("encoding") == b"binary/null":
            memo.fields.pop(name, None)
        else:
            memo.fields[name].CopyFrom(payload)
    return replace(document, memo=memo.SerializeToString())


def _closed(document: Document, event: history.HistoryEvent) -> Document:
    at = instant_of(event.event_time)
    return replace(
        document,
        status=CLOSED[event.event_type],
        closed_at=at,
        history_length=event.event_id,
        execution_duration=max(at - document.execution_at, 0),
    )


def _measured(document: Document, fact: RunMeasured) -> Document:
    return replace(
        document, history_bytes=fact.history_bytes, state_transition_count=fact.transition_count
    )


_Fold = Callable[[Document, history.HistoryEvent], Document]


def _begun(document: Document, _event: history.HistoryEvent) -> Document:
    return document


_FOLDS: Final[Mapping[int, _Fold]] = {
    on.WORKFLOW_EXECUTION_STARTED: _begun,
    on.UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: _upserted,
    on.WORKFLOW_PROPERTIES_MODIFIED: _modified,
    **dict.fromkeys(CLOSED, _closed),
}
