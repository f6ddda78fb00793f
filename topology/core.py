"""The core of one partition: workflows and namespaces behind the engine's door (`machine.py`).

Decided states stay in a bounded cache, so that an open run is not read from its rows for each
ask. The cache holds whole runs; it may only forget what is stored, so its size exceeds what two
batches of the engine can touch.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from schemas.errors import InvalidArgument, NamespaceNotFound, NotFound, Stale, Unimplemented
from schemas.instants import SECOND
from schemas.rows import pack
from schemas.temporal import common
from topology import forwards
from topology.decision import (
    Ask,
    Attributes,
    Change,
    Decision,
    Namespace,
    Reply,
    ReplyBody,
    Rows,
    StateFact,
    Unchecked,
)
from topology.effects import Forward, Quote
from topology.namespace import decide as namespaces
from topology.namespace import sweep
from topology.namespace.archival import Archivals
from topology.own_work import EndSweep, Expire, FireDue
from topology.turn import Turn
from topology.workflow import (
    answers,
    buffering,
    deletion,
    evolve,
    execution,
    histories,
    keys,
    views,
    workflow_task,
)
from topology.workflow import rows as run_rows
from topology.workflow.decide import COMMANDS
from topology.workflow.limits import Limits, excess_of
from topology.workflow.state import Current, Execution, Run

CACHED_RUNS = 16_384
_NOBODYS = Namespace("", "", 0, 0)  # of several workflows
_TOO_LARGE = "Transaction size exceeds limit."

Written = dict[bytes, bytes | None]


class Core:
    """All entities of one partition; implements `topology.machine.Machine`."""

    def __init__(
        self,
        rows: Rows,
        limits: Limits | None = None,
        attributes: Attributes | None = None,
        *,
        archivals: Archivals | None = None,
    ) -> None:
        self._attributes = attributes or Unchecked()
        self._rows = rows
        self._limits = limits or Limits()
        self._archivals = archivals or Archivals()
        self._runs: OrderedDict[str, Run | None] = OrderedDict()
        self._currents: OrderedDict[bytes, Current | None] = OrderedDict()
        self._swept: set[str] | None = None
        self._own: dict[str, Callable[[Ask, int, bytes], Decision]] = {
            "Expire": self._expire,
            "SweepNamespace": self._sweep,
            "EndSweep": self._end_sweep,
        }

    # -- decide

    def decide(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """Decide one ask; raises Rejected and then nothing happened."""
        if ask.method in namespaces.COMMANDS:
            moment = namespaces.Moment(
                now, seed, self._archivals, self._limits.retention_min_s * SECOND
            )
            return namespaces.decide(ask, self._rows, moment)
        if ask.method in self._own:
            return self._own[ask.method](ask, now, seed)
        if ask.namespace.id in self._swept_namespaces():
            raise NamespaceNotFound(ask.namespace.name)
        command = COMMANDS.get(ask.method)
        if command is None:
            raise Unimplemented(f"method {ask.method} is not served yet")
        turn = self._turn(ask, now=now, seed=seed)
        command(turn, ask.request)
        if turn.changes and buffering.is_over(turn.state):
            workflow_task.overflow(turn)
        for run_id in turn.changes:
            if reason := self._excess_of(turn.runs[run_id]):
                again = self._turn(ask, now=now, seed=seed)
                return self._terminate(again, run_id, reason)
        return self._close(turn)

    def decide_too_large(self, ask: Ask, *, now: int, seed: bytes) -> Decision:
        """Terminate the run that an ask wanted to change by more than a record may hold (L14)."""
        turn = self._turn(ask, now=now, seed=seed)
        run_id = _run_named(ask) or (turn.current.run_id if turn.current else "")
        run = turn.focus(run_id) if run_id else None
        if run is None or run.execution.status != execution.RUNNING:
            raise NotFound(_TOO_LARGE)
        execution.terminate_run(turn, reason=_TOO_LARGE, details=None, identity="history-service")
        turn.reply("too_large", NotFound(_TOO_LARGE))
        return self._close(turn)

    def _excess_of(self, run: Run) -> str:
        """Return why a run's history is too long to go on, if it is."""
        if run.execution.status != execution.RUNNING:
            return ""
        return excess_of(run.execution, self._limits)

    def _terminate(self, turn: Turn, run_id: str, reason: str) -> Decision:
        """Terminate a run instead of what was asked; nothing of that has happened."""
        if turn.focus(run_id) is None:
            raise InvalidArgument(reason)  # it began with too long a history
        execution.terminate_run(turn, reason=reason, details=None, identity="history-service")
        turn.reply(f"refused:{reason}", InvalidArgument(reason))
        return self._close(turn)

    def answer_again(self, ask: Ask, outcome: str, run_id: str) -> ReplyBody:
        """Answer a repeat of a command whose outcome is known (L12)."""
        return answers.again(ask, outcome, run_id)

    # -- fold

    def fold(
        self,
        changes: Iterable[Change],
        *,
        decided_at: int,  # noqa: ARG002  facts carry their own instants
    ) -> Written:
        """Apply accepted changes and return the rows to write."""
        written: Written = {}
        for change in changes:
            if change.entity == "namespace":
                written.update(namespaces.fold(change, self._rows))
            elif change.entity == "partition":
                written.update(sweep.fold(change))
                self._swept_namespaces().add(change.namespace_id)
            elif change.entity == "workflow":
                self._fold_run(change, written)
            else:
                raise AssertionError(f"expected a known entity, found {change.entity!r}")
        return written

    # -- read

    def read(self, method: str, request: object, namespace_id: str, rows: Rows) -> bytes:
        """Answer a read of accepted state; raises NotFound."""
        view = views.READS.get(method)
        if view is None:
            raise Unimplemented(f"method {method} is not a read")
        return view(request, namespace_id, rows)

    # -- forwards

    def parse_forward(self, method: str, request: bytes, event: bytes) -> forwards.Asked:
        """Read what a forward asks; raises Unimplemented."""
        return forwards.parse(method, request, event)

    def forward_failed(self, method: str, request: bytes, event: bytes) -> Forward | None:
        """Return what a sender must hear whose forward cannot be decided, if it waits."""
        return forwards.failure_of(forwards.parse(method, request, event))

    def quoted(self, quotes: Sequence[Quote], rows: Rows) -> list[bytes]:
        """Return the history events that travel with forwards."""
        return histories.quoted(quotes, rows)

    # -- what is due

    def due(self, rows: Rows, *, after: bytes, until: int, limit: int) -> list[tuple[bytes, Ask]]:
        """Return one FireDue for each run with something due, oldest first, with its due key.

        Behind a key of closed runs whose retention is over: one Expire for all of them.
        """
        if after.startswith(keys.EXPIRY):
            return _expiring(rows, after=after, until=until, limit=limit)
        found: dict[str, tuple[bytes, Ask]] = {}
        for key, _ in rows.scan(keys.DUE, after):
            due_at, run_id = keys.due_of(key)
            if due_at > until or len(found) == limit:
                break
            if run_id in found:
                continue
            run = self._load(run_id)
            if run is not None:
                row = run.execution
                namespace = Namespace(row.namespace_id, row.namespace, 0, row.retention)
                found[run_id] = (key, Ask("FireDue", namespace, row.workflow_id, FireDue(run_id)))
        return list(found.values())

    def next_due_at(self, rows: Rows, *, after: bytes) -> int | None:
        """Return the instant of the first row of the same kind from a due key on."""
        for key, _ in rows.scan(after[:1] or keys.DUE, after):
            return keys.due_of(key)[0]
        return None

    def rows_of_deleted(self, key: bytes) -> tuple[bytes, ...]:
        """Return the prefixes of what is to be erased, by the key that says so."""
        return keys.prefixes_of_deleted(key)

    # -- the cache

    def forget(self) -> None:
        """Drop every cached state."""
        self._runs.clear()
        self._currents.clear()
        self._swept = None

    def settle(self) -> None:
        """Let go of what is over the cache's size; the engine has stored it by now."""
        while len(self._runs) > CACHED_RUNS:
            self._runs.popitem(last=False)
        while len(self._currents) > CACHED_RUNS:
            self._currents.popitem(last=False)

    # -- inside

    def _turn(self, ask: Ask, *, now: int, seed: bytes) -> Turn:
        return Turn(
            ask,
            now=now,
            seed=seed,
            rows=self._rows,
            folds=evolve,
            current=self._current(ask.namespace.id, ask.workflow_id),
            load=self._load,
            limits=self._limits,
            attributes=self._attributes,
        )

    def _close(self, turn: Turn) -> Decision:
        """Work out the rows of a turn and keep its states."""
        written: Written = {}
        for run_id, change in turn.changes.items():
            after = turn.runs[run_id]
            before = None if run_id in turn.opened else self._load(run_id)
            self._keep(before, after, change, written)
        self._keep_current(turn.ask.namespace.id, turn.ask.workflow_id, turn.current, written)
        return turn.decision(written)

    def _sweep(self, ask: Ask, now: int, seed: bytes) -> Decision:
        """Remove some runs of a deleted namespace; open ones are terminated for it."""

        def remove(row: Execution) -> Decision:
            asked = Ask(ask.method, ask.namespace, row.workflow_id, None)
            turn = self._turn(asked, now=now, seed=seed + row.run_id.encode())
            if turn.focus(row.run_id) is None:
                return Decision([], [], [], {})
            deletion.remove(turn)
            return self._close(turn)

        return sweep.step(ask.request, self._rows, remove)

    def _end_sweep(self, ask: Ask, _now: int, _seed: bytes) -> Decision:
        """Say that nothing is left of a deleted namespace; said before, it is no news."""
        request: EndSweep = ask.request
        swept = self._swept_namespaces()
        if request.namespace_id in swept:
            return Decision([], [], [Reply(b"", "ended", "", b"")], {})
        swept.add(request.namespace_id)
        return sweep.end(request)

    def _swept_namespaces(self) -> set[str]:
        if self._swept is None:
            self._swept = sweep.swept_in(self._rows)
        return self._swept

    def _expire(self, ask: Ask, now: int, _seed: bytes) -> Decision:
        """Delete the runs whose retention is over; raises Stale."""
        request: Expire = ask.request
        written: Written = {}
        changes: list[Change] = []
        for run_id in request.run_ids:
            run = self._load_row(run_id)
            if run is None:
                continue
            try:
                change = deletion.expired(run.execution, now)
            except Stale:
                continue
            self._bury(run, change, written)
            changes.append(change)
        if not changes:
            raise Stale("expected closed runs whose retention is over, found none")
        return Decision(changes, [], [Reply(b"", "expired", "", b"")], written)

    def _fold_run(self, change: Change, written: Written) -> None:
        first = change.facts[0]
        name = first.name if isinstance(first, StateFact) else ""
        if name == "RunDeleted":
            before = self._load_row(change.run_id)
        else:
            before = None if name == "RunOpened" else self._load(change.run_id)
        after = evolve.fold(before, change.facts)
        current = self._current(change.namespace_id, change.id)
        if before is None:
            row = after.execution
            current = Current(row.run_id, row.status, row.request_id, row.opened_at, row.run_id)
        self._keep(before, after, change, written)
        self._keep_current(change.namespace_id, change.id, current, written)

    def _bury(self, before: Run | None, change: Change, written: Written) -> None:
        """Forget a run; what is stored of it is not to be loaded until the deletion is stored."""
        written.update(run_rows.deleted_rows(before, change.run_id))
        self._runs[change.run_id] = None
        self._runs.move_to_end(change.run_id, last=False)
        current = self._current(change.namespace_id, change.id)
        if current is not None and current.run_id == change.run_id:
            key = keys.current_key(change.namespace_id, change.id)
            written[key] = self._currents[key] = None
            self._currents.move_to_end(key, last=False)

    def _keep(self, before: Run | None, after: Run, change: Change, written: Written) -> None:
        if after.is_deleted:
            self._bury(before, change, written)
            return
        written.update(run_rows.changed_rows(before, after, change.facts))
        if after.fresh_rows:
            after = run_rows.without_fresh(after)
        self._runs[change.run_id] = after
        self._runs.move_to_end(change.run_id)

    def _keep_current(
        self, namespace_id: str, workflow_id: str, current: Current | None, written: Written
    ) -> None:
        if current is None or (run := self._runs.get(current.run_id)) is None:
            return
        row = run.execution
        known = Current(row.run_id, row.status, row.request_id, row.opened_at, row.first_run_id)
        key = keys.current_key(namespace_id, workflow_id)
        if self._currents.get(key) != known:
            written[key] = pack(known)
        self._currents[key] = known
        self._currents.move_to_end(key)

    def _load(self, run_id: str) -> Run | None:
        if run_id in self._runs:
            return self._runs[run_id]
        run = run_rows.load(self._rows, run_id)
        if run is not None:
            self._runs[run_id] = run
        return run

    def _load_row(self, run_id: str) -> Run | None:
        """Return a run, or of one that is not at hand its execution, for a closed one is no more.

        Nothing is kept: it is about to be deleted.
        """
        if run_id in self._runs:
            return self._runs[run_id]
        return run_rows.load_row(self._rows, run_id)

    def _current(self, namespace_id: str, workflow_id: str) -> Current | None:
        key = keys.current_key(namespace_id, workflow_id)
        if key in self._currents:
            return self._currents[key]
        row = self._rows.get(key)
        if row is None:
            return None
        known = self._currents[key] = run_rows.unpack_current(row)
        return known


def _expiring(rows: Rows, *, after: bytes, until: int, limit: int) -> list[tuple[bytes, Ask]]:
    """Return one Expire of so many closed runs, with the last one's key."""
    found: list[str] = []
    last = b""
    for key, _ in rows.scan(keys.EXPIRY, after):
        due_at, run_id = keys.due_of(key)
        if due_at > until or len(found) == limit:
            break
        found.append(run_id)
        last = key
    return [(last, Ask("Expire", _NOBODYS, "", Expire(tuple(found))))] if found else []


def _run_named(ask: Ask) -> str:
    """Return the run id that an ask names, if it does."""
    request = ask.request
    if isinstance(request, forwards.Asked):
        return forwards.run_of(request)
    token = getattr(request, "task_token", b"")
    if token:
        return answers.run_of_token(token)
    named = getattr(request, "workflow_execution", None)
    if isinstance(named, common.WorkflowExecution):
        return named.run_id
    return str(getattr(request, "run_id", ""))
