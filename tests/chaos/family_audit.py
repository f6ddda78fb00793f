"""What holds between the runs of a log, whenever the server died: chains, families, signals.

One running run of a workflow id at a time, each run with at most one successor, no child started
twice or left without its end, no signal or cancel request delivered twice. It only reports.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.chaos.auditor import Run
from tests.chaos.family_script import of_type, started
from tests.chaos.journal import Told

_ENDS = {
    EventType.Value(f"EVENT_TYPE_WORKFLOW_EXECUTION_{name}"): name
    for name in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW")
}


def disorders(runs: Mapping[str, Run], starts: Iterable[Told]) -> list[str]:
    """Return every problem; all workflows of the log must have ended."""
    by_id: dict[str, list[Run]] = defaultdict(list)
    for run in runs.values():
        by_id[run.workflow_id].append(run)
    problems = [text for some in by_id.values() for text in _of_chain(some)]
    for run in runs.values():
        problems += _of_children(run, by_id)
        problems += _of_messages(run, by_id)
    return problems + _of_starts(starts, by_id)


def _of_starts(starts: Iterable[Told], by_id: Mapping[str, list[Run]]) -> list[str]:
    """What a client was told it started is the first run of its chain.

    The runs behind it repeat who started it, so they are not counted by that.
    """
    problems = []
    for one in starts:
        found = [
            run.run_id
            for run in by_id.get(one.workflow_id, [])
            if started(run.events).identity == one.token
            and not started(run.events).continued_execution_run_id
        ]
        if one.outcome == "done" and found != [one.run_id]:
            problems.append(f"{one}: expected its first run, found {found}")
    return problems


def ends(run: Run) -> list[HistoryEvent]:
    """Return the closing events of a run."""
    return [event for event in run.events if event.event_type in _ENDS]


def _of_chain(runs: list[Run]) -> list[str]:
    """A workflow id has one first run, and each further one follows exactly one that closed."""
    workflow_id = runs[0].workflow_id
    previous = [started(run.events).continued_execution_run_id for run in runs]
    problems = []
    if previous.count("") != 1:
        problems.append(f"{workflow_id}: expected one first run, found {previous.count('')}")
    problems += [
        f"{workflow_id}: run {run_id} has {previous.count(run_id)} successors"
        for run_id in set(previous) - {""}
        if previous.count(run_id) != 1
    ]
    for run in runs:
        if len(ends(run)) != 1 or run.events[-1].event_type not in _ENDS:
            problems.append(f"{workflow_id}: run {run.run_id} has {len(ends(run))} ends")
            continue
        problems += _of_successor(run, {each.run_id: each for each in runs})
    return problems


def _of_successor(run: Run, chain: Mapping[str, Run]) -> list[str]:
    """The successor that a run's end names is there, and began when the run ended."""
    end = run.events[-1]
    attributes = getattr(end, end.WhichOneof("attributes") or "")
    named = getattr(attributes, "new_execution_run_id", "")
    followers = [
        each.run_id
        for each in chain.values()
        if started(each.events).continued_execution_run_id == run.run_id
    ]
    if followers != ([named] if named else []):
        return [f"run {run.run_id}: expected the successor {named!r}, found {followers}"]
    if named and chain[named].events[0].event_time.ToNanoseconds() < end.event_time.ToNanoseconds():
        return [f"run {named}: began before {run.run_id} ended"]
    return []


def _of_children(run: Run, by_id: Mapping[str, list[Run]]) -> list[str]:
    """Each child that was asked for has one first run, one start and one end in its parent."""
    problems = []
    for event in of_type(run.events, "START_CHILD_WORKFLOW_EXECUTION_INITIATED"):
        child_id = event.start_child_workflow_execution_initiated_event_attributes.workflow_id
        told = [_initiated(each) for each in run.events]
        births = sum(
            started(each.events).parent_workflow_execution.run_id == run.run_id
            for each in by_id.get(child_id, [])
        )
        starts = sum(
            _initiated(each) == event.event_id
            for each in of_type(run.events, "CHILD_WORKFLOW_EXECUTION_STARTED")
        )
        if births != 1 or starts != 1 or told.count(event.event_id) != 2:  # its start, its end
            problems.append(
                f"run {run.run_id}: child {child_id} was begun {births} times, "
                f"told of as started {starts} times, in all {told.count(event.event_id)} times"
            )
    return problems


def _of_messages(run: Run, by_id: Mapping[str, list[Run]]) -> list[str]:
    """Each signal and cancel request to another workflow arrived once, and the sender knows."""
    problems = []
    for sent, arrived, known in (
        (
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
            "WORKFLOW_EXECUTION_SIGNALED",
            "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED",
        ),
        (
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
            "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
            "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED",
        ),
    ):
        for event in of_type(run.events, sent):
            attributes = getattr(event, event.WhichOneof("attributes") or "")
            target = attributes.workflow_execution.workflow_id
            arrivals = _from(run, by_id.get(target, []), arrived)
            answers = [_initiated(each) for each in of_type(run.events, known)]
            if arrivals != 1 or answers.count(event.event_id) != 1:
                problems.append(
                    f"run {run.run_id}: {sent} {event.event_id} arrived {arrivals} times, "
                    f"was answered {answers.count(event.event_id)} times"
                )
    return problems


def _from(sender: Run, receivers: Iterable[Run], arrived: str) -> int:
    return sum(
        getattr(event, event.WhichOneof("attributes") or "").external_workflow_execution.run_id
        == sender.run_id
        for run in receivers
        for event in of_type(run.events, arrived)
    )


def _initiated(event: HistoryEvent) -> int:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    return int(getattr(attributes, "initiated_event_id", 0))
