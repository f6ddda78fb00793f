"""A turn: one ask's decision in the making. The only mutable object of the core.

An entity's functions get a turn, look at `turn.state` and `record` what happened; each fact is
folded as it is recorded, by the same functions that recovery uses (architecture §4). The folds
come in as an argument, so that entities may import this module.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from schemas.instants import instant_of, timestamp_of
from schemas.temporal import history
from topology.decision import (
    Ask,
    Attributes,
    Change,
    Decision,
    Fact,
    HistoryFact,
    Namespace,
    Reply,
    ReplyBody,
    Rows,
    StateFact,
)
from topology.effects import Effect
from topology.workflow.facts import EventBuffered, Private, RunOpened
from topology.workflow.histories import event_of
from topology.workflow.keys import batch_key
from topology.workflow.limits import Limits
from topology.workflow.state import Current, Execution, Run

_encode = msgspec.msgpack.Encoder().encode


class Folds(Protocol):
    """How facts change a run; `topology/workflow/evolve.py` is the one implementation."""

    def is_buffered(self, event_type: int) -> bool:
        """Whether events of a type wait while a workflow task is out."""
        ...

    def begins_batch(self, event_type: int) -> bool:
        """Whether a batch of history begins with events of a type, wherever they come."""
        ...

    def on_event(self, run: Run, event: history.HistoryEvent, *, size: int, batch_id: int) -> Run:
        """Fold a numbered public event of `size` bytes in the batch that begins at `batch_id`."""
        ...

    def on_private(self, run: Run | None, fact: Private) -> Run:
        """Fold a private fact; only RunOpened has no run yet."""
        ...

    def on_touched(self, run: Run) -> Run:
        """Count a transition that touches a run that was there before."""
        ...


class Turn:
    """The state that an ask is decided on, and what has been recorded so far."""

    def __init__(  # noqa: PLR0913  a turn is all that decide is given
        self,
        ask: Ask,
        *,
        now: int,
        seed: bytes,
        rows: Rows,
        folds: Folds,
        current: Current | None,
        load: Callable[[str], Run | None],
        limits: Limits,
        attributes: Attributes,
    ) -> None:
        self.ask = ask
        self.now = now
        self.rows = rows
        self.current = current
        self.is_holding = False  # buffered types wait for the end of this turn
        self.runs: dict[str, Run] = {}
        self.changes: dict[str, Change] = {}
        self.opened: set[str] = set()
        self.effects: list[Effect] = []
        self.replies: list[Reply] = []
        self.limits = limits
        self.attributes = attributes
        self._seed = seed
        self._ids = 0
        self._folds = folds
        self._load = load
        self._batches: dict[str, int] = {}
        self._focus = ""

    # -- what is known

    @property
    def namespace(self) -> Namespace:
        """The namespace asked in."""
        return self.ask.namespace

    @property
    def state(self) -> Run:
        """The run in focus, as it is now."""
        return self.runs[self._focus]

    @property
    def execution(self) -> Execution:
        """The row of the run in focus."""
        return self.runs[self._focus].execution

    @property
    def batch_id(self) -> int:
        """First event id of the newest batch of this turn in the run in focus; 0: none."""
        return self._batches.get(self._focus, 0)

    def focus(self, run_id: str) -> Run | None:
        """Turn to a run of this workflow id; None where there is none."""
        run = self.runs.get(run_id) or self._load(run_id)
        if run is None:
            return None
        self.runs[run_id] = run
        self._focus = run_id
        return run

    def new_id(self) -> str:
        """Return a new UUID, made from the seed."""
        self._ids += 1
        digest = hashlib.blake2b(self._seed, digest_size=16, salt=self._ids.to_bytes(8)).digest()
        return str(uuid.UUID(bytes=digest, version=4))

    def new_run_id(self) -> str:
        """Return a new UUID of version 7, made from the time and the seed: run ids sort by age."""
        made = bytearray((self.now // 1_000_000).to_bytes(6) + uuid.UUID(self.new_id()).bytes[6:])
        made[6] = 0x70 | made[6] & 0x0F
        return str(uuid.UUID(bytes=bytes(made)))

    # -- what happens

    def event_at(self, batch_id: int, event_id: int) -> history.HistoryEvent:
        """Return an event of the run in focus from its batch."""
        batch = self.rows.get(batch_key(self._focus, batch_id))
        assert batch is not None, f"expected batch {batch_id} of run {self._focus}"
        event = event_of(batch, event_id - batch_id)
        assert event.event_id == event_id, f"expected event {event_id} in batch {batch_id}"
        return event

    def open(self, opened: RunOpened) -> None:
        """Begin a run and turn to it."""
        self._focus = opened.run_id
        self.opened.add(opened.run_id)
        self.runs[opened.run_id] = self._folds.on_private(None, opened)
        self._note(state_fact(opened))
        self.current = Current(
            run_id=opened.run_id,
            status=1,
            request_id=opened.request_id,
            started_at=opened.opened_at,
            first_run_id=opened.run_id,
        )

    def event(self, event_type: int) -> history.HistoryEvent:
        """Return a new event of this instant, to be filled in and recorded."""
        made = history.HistoryEvent(event_time=timestamp_of(self.now))
        made.event_type = event_type  # type: ignore[assignment]  # enums travel as ints
        return made

    def record(self, fact: history.HistoryEvent | Private) -> int:
        """Record what happened and fold it; return the event id (0: private, or buffered)."""
        if isinstance(fact, Private):
            self.runs[self._focus] = self._folds.on_private(self.state, fact)
            self._note(state_fact(fact))
            return 0
        task = self.execution.task
        is_out = task is not None and task.is_started
        if (is_out or self.is_holding) and self._folds.is_buffered(fact.event_type):
            return self.record(EventBuffered(fact.SerializeToString()))
        return self.record_numbered(fact)

    def record_numbered(self, event: history.HistoryEvent) -> int:
        """Record an event under the next event id, whatever is out."""
        run = self.state
        event.event_id = run.execution.next_event_id
        event.task_id = event.event_id
        body = event.SerializeToString()
        batch_id = self._batches.get(self._focus, 0)
        if self._folds.begins_batch(event.event_type) or not batch_id:
            batch_id = self._batches[self._focus] = event.event_id
        self.runs[self._focus] = self._folds.on_event(run, event, size=len(body), batch_id=batch_id)
        at = instant_of(event.event_time)
        self._note(HistoryFact(event.event_id, event.event_type, at, body))
        return event.event_id

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Do all or nothing: an exception takes back what was recorded inside."""
        assert not self.changes, "expected nothing recorded before"
        runs, focus = dict(self.runs), self._focus
        try:
            yield
        except BaseException:
            self.runs, self._focus = runs, focus
            self.changes, self._batches = {}, {}
            self.effects, self.replies = [], []
            self.is_holding = False
            raise

    def request(self, effect: Effect) -> None:
        """Cause something outside the partition, once this turn is accepted."""
        self.effects.append(effect)

    def reply(self, outcome: str, body: ReplyBody = b"", *, run_id: str = "") -> None:
        """Answer the ask: by name for the log, in bytes for the caller."""
        self.replies.append(Reply(self.ask.command_id, outcome, run_id or self._focus, body))

    def decision(self, rows: dict[bytes, bytes | None]) -> Decision:
        """Close the turn."""
        return Decision(list(self.changes.values()), self.effects, self.replies, rows)

    def _note(self, fact: Fact) -> None:
        change = self.changes.get(self._focus)
        if change is None:
            if self._focus not in self.opened:
                self.runs[self._focus] = self._folds.on_touched(self.state)
            ask = self.ask
            change = Change("workflow", ask.namespace.id, ask.workflow_id, self._focus, [])
            self.changes[self._focus] = change
        change.facts.append(fact)


def state_fact(fact: Private) -> StateFact:
    """Return a private fact as it stands in the log."""
    return StateFact(type(fact).__name__, _encode(fact))
