"""A run that waits, as the package `archival` takes it: its history is read on while it is written.

The archiver's threads go through the batches; what is not at hand is asked of the owner, so a long
history is never whole in memory.
"""

from collections.abc import Callable, Iterator

from archival.run import ClosedRun, RunKey
from schemas.errors import Code, ServiceError
from schemas.temporal import history, workflow
from topology.own_work import Batches, WaitingRun

More = Callable[[WaitingRun, int], Batches]
"""Asks the owner for the history from an event on, in a thread; raises OwnerLost."""


class OwnerLost(ServiceError):
    """The owner did not give the rest of a history: the run is to be looked at again."""

    code = Code.UNAVAILABLE


def closed_run(run: WaitingRun, more: More) -> ClosedRun:
    """Return a run to archive."""
    return ClosedRun(
        namespace=run.namespace,
        key=RunKey(run.namespace_id, run.workflow_id, run.run_id),
        execution=workflow.WorkflowExecutionInfo.FromString(run.execution),
        batches=_History(run, more),
        last_event_id=run.last_event_id,
    )


class _History:
    """The batches of a run, read anew each time they are gone through."""

    def __init__(self, run: WaitingRun, more: More) -> None:
        self._run = run
        self._more = more

    def __iter__(self) -> Iterator[history.History]:
        part = self._run.history
        while True:
            for batch in part.batches:
                yield history.History.FromString(batch)
            if not part.next_event_id:
                return
            part = self._more(self._run, part.next_event_id)
