"""The fixed filters of ListOpen and ListClosed as queries: built as expressions, never as text.

By Temporal's rule open means Running and closed means that there is a close time.
"""

from typing import NamedTuple

from search.attributes import EXECUTION_STATUS
from search.query.expressions import Expression, Query, conjunction, negation
from search.query.resolve import system_column, within_no_division
from search.query.values import STATUS_NAMES, between, compared
from search.times import INSTANT_MAX

RUNNING = STATUS_NAMES[1]


class Filter(NamedTuple):
    """What may be asked of a run besides its time; None: anything."""

    workflow_id: str | None = None
    run_id: str | None = None
    workflow_type: str | None = None
    status: int | None = None


def open_runs(earliest: int, latest: int, wanted: Filter) -> Query:
    """Return the query of runs that are open and were started within these instants (ns)."""
    return within_no_division(
        conjunction(
            _is(EXECUTION_STATUS, RUNNING), _within("StartTime", earliest, latest), _of(wanted)
        )
    )


def closed_runs(earliest: int, latest: int, wanted: Filter) -> Query:
    """Return the query of runs that are closed, and were within these instants (ns)."""
    return within_no_division(
        conjunction(
            negation(_is(EXECUTION_STATUS, RUNNING)),
            _within("CloseTime", earliest, latest),
            _of(wanted),
        )
    )


def _of(wanted: Filter) -> Expression:
    texts = {
        "WorkflowId": wanted.workflow_id,
        "RunId": wanted.run_id,
        "WorkflowType": wanted.workflow_type,
        EXECUTION_STATUS: None if wanted.status is None else STATUS_NAMES[wanted.status],
    }
    return conjunction(*(_is(name, text) for name, text in texts.items() if text is not None))


def _is(name: str, text: str) -> Expression:
    return compared(system_column(name), "=", text)


def _within(name: str, earliest: int, latest: int) -> Expression:
    column = system_column(name)
    return between(column, max(0, earliest), min(INSTANT_MAX, latest))
