"""Search attributes and memo of a run: set at its start, changed by its workflow, shown, indexed.

A value that is null unsets. Names and types are checked against the namespace by what the core is
given (`Attributes`), which also writes each type's name beside the value, as Temporal does.
"""

from typing import Protocol

from google.protobuf.message import Message
from msgspec.structs import replace

from schemas import event_types as on
from schemas.errors import InvalidArgument
from schemas.temporal import command, common, enums, history
from topology.turn import Turn
from topology.workflow.bad_command import BadCommand, check_blob, size_of_fields
from topology.workflow.state import Run

_Cause = enums.WorkflowTaskFailedCause
_BAD = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
_BAD_MEMO = _Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES


class Carrier(Protocol):
    """A message with search attributes."""

    @property
    def search_attributes(self) -> common.SearchAttributes:
        """The search attributes."""
        ...


# -- ask


def give(turn: Turn, asked: Carrier, given: Carrier) -> None:
    """Put checked search attributes into an event; raises InvalidArgument."""
    _give(turn, asked, given)
    turn.attributes.check_size(asked.search_attributes)


def give_wanted(turn: Turn, wanted: Carrier, given: Carrier, *, cause: int) -> None:
    """Put a worker's search attributes into an event; raises BadCommand, too large: of `cause`."""
    _give_checked(turn, wanted, given)
    _check_size(turn, wanted.search_attributes, cause)


def check_memo(memo: common.Memo, cause: int, name: str) -> None:
    """Check the size of a memo that a worker gives; raises BadCommand."""
    check_blob(memo.ByteSize(), cause, name)


def upsert(turn: Turn, each: command.Command, completed_id: int) -> None:
    """UpsertWorkflowSearchAttributes."""
    wanted = each.upsert_workflow_search_attributes_command_attributes
    if not wanted.search_attributes.indexed_fields:
        raise BadCommand(
            _BAD, "SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand."
        )
    event = turn.event(on.UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    given = event.upsert_workflow_search_attributes_event_attributes
    given.workflow_task_completed_event_id = completed_id
    _give_checked(turn, wanted, given)
    size_bytes = size_of_fields(wanted.search_attributes.indexed_fields)
    check_blob(size_bytes, _BAD, "UpsertWorkflowSearchAttributesCommandAttributes")
    _check_size(turn, _upserted(turn.state, wanted.search_attributes), _BAD)
    turn.record(event)


def modify_properties(turn: Turn, each: command.Command, completed_id: int) -> None:
    """ModifyWorkflowProperties: change the memo."""
    wanted = each.modify_workflow_properties_command_attributes
    if not wanted.upserted_memo.fields:
        raise BadCommand(_BAD_MEMO, "UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.")
    size_bytes = size_of_fields(wanted.upserted_memo.fields)
    check_blob(size_bytes, _BAD_MEMO, "ModifyWorkflowPropertiesCommandAttributes")
    merged = _modified(turn.state, wanted.upserted_memo)
    check_memo(merged, _BAD_MEMO, "ModifyWorkflowPropertiesCommandAttributes. Memo")
    event = turn.event(on.WORKFLOW_PROPERTIES_MODIFIED)
    given = event.workflow_properties_modified_event_attributes
    given.workflow_task_completed_event_id = completed_id
    given.upserted_memo.CopyFrom(wanted.upserted_memo)
    turn.record(event)


# -- fold


def on_started(run: Run, given: history.WorkflowExecutionStartedEventAttributes) -> Run:
    """WorkflowExecutionStarted: what the run begins with."""
    if given.HasField("memo"):
        run = replace(run, memo=_packed(given.memo))
    if given.HasField("search_attributes"):
        run = replace(run, search_attributes=_packed(given.search_attributes))
    return run


def on_upserted(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """UpsertWorkflowSearchAttributes: some are set, some unset."""
    given = event.upsert_workflow_search_attributes_event_attributes.search_attributes
    return replace(run, search_attributes=_packed(_upserted(run, given)))


def on_properties_modified(run: Run, event: history.HistoryEvent, _batch_id: int) -> Run:
    """WorkflowPropertiesModified: fields of the memo are set or unset."""
    given = event.workflow_properties_modified_event_attributes.upserted_memo
    return replace(run, memo=_packed(_modified(run, given)))


# -- inside


def _give(turn: Turn, asked: Carrier, given: Carrier) -> None:
    if asked.search_attributes.indexed_fields:
        checked = turn.attributes.checked(asked.search_attributes, turn.namespace)
        given.search_attributes.CopyFrom(checked)


def _give_checked(turn: Turn, wanted: Carrier, given: Carrier) -> None:
    try:
        _give(turn, wanted, given)
    except InvalidArgument as error:
        raise BadCommand(_BAD, error.message) from error


def _check_size(turn: Turn, attributes: common.SearchAttributes, cause: int) -> None:
    try:
        turn.attributes.check_size(attributes)
    except InvalidArgument as error:
        raise BadCommand(cause, error.message, terminates=True) from error


def _upserted(run: Run, given: common.SearchAttributes) -> common.SearchAttributes:
    held = common.SearchAttributes.FromString(run.search_attributes)
    for name, payload in given.indexed_fields.items():
        if _is_null(payload):
            held.indexed_fields.pop(name, None)
        else:
            held.indexed_fields[name].CopyFrom(payload)
    return held


def _modified(run: Run, given: common.Memo) -> common.Memo:
    held = common.Memo.FromString(run.memo)
    for name, payload in given.fields.items():
        if _is_null(payload):
            held.fields.pop(name, None)
        else:
            held.fields[name].CopyFrom(payload)
    return held


def _is_null(payload: common.Payload) -> bool:
    if payload.metadata.get("encoding", b"") == b"binary/null":
        return True
    return payload.data.strip() in (b"", b"null", b"[]")


def _packed(message: Message) -> bytes:
    """Serialize maps in the order of their keys: equal states have equal rows."""
    return message.SerializeToString(deterministic=True)
