"""A core without a house: rows in memory, a clock that stands still, offers in a list.

`Desk` plays everybody around one partition: clients, the history engine, matching, workers. Every
decision is folded again by a second core, and the two must write the same rows: replay equals
live. `check` folds the whole log from nothing once more.

    desk.start()
    desk.step(activity())
    desk.finish_activity(desk.poll_activity(), "out")
    assert desk.history(after=4) == ...
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from schemas.errors import ServiceError, Stale
from schemas.instants import DAY, MILLISECOND, SECOND
from schemas.temporal import command, common, history, service
from topology.core import Core
from topology.decision import Ask, Attributes, Change, Decision, Namespace
from topology.effects import OfferTask
from topology.namespace.archival import ENABLED, Archival, Archivals
from topology.own_work import HandBack, ReadHistory, StartTask
from topology.workflow import rows as run_rows
from topology.workflow.limits import Limits
from topology.workflow.state import Run

NAMESPACE = Namespace("00000000-0000-4000-8000-00000000000d", "default", 1, DAY)
EPOCH = 1_700_000_000 * SECOND
DUE_MAX = 1_000

WorkflowTask = service.PollWorkflowTaskQueueResponse
ActivityTask = service.PollActivityTaskQueueResponse


class MemoryRows:
    """Rows of a partition in a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self.rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys have a prefix, ascending."""
        for key in sorted(self.rows):
            if key.startswith(prefix) and key >= start:
                yield key, self.rows[key]

    def write(self, written: dict[bytes, bytes | None]) -> None:
        """Write a decision's rows."""
        for key, value in written.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


class Partition:
    """A core and its rows."""

    def __init__(
        self,
        attributes: Attributes | None = None,
        limits: Limits | None = None,
        archivals: Archivals | None = None,
    ) -> None:
        self.rows = MemoryRows()
        self.core = Core(self.rows, limits, attributes, archivals=archivals)


class Desk:
    """Everybody around one partition; time passes only where a test says so."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.offers: list[OfferTask] = []  # nobody has taken them yet
        self.offered: list[OfferTask] = []  # all there ever were
        self.log: list[tuple[int, list[Change]]] = []
        self.run_id = ""  # of the run started last
        self._namespace = NAMESPACE
        self._live = Partition()
        self._replayed = Partition()
        self._asked = 0
        self._ids = 0

    def know_attributes(self, attributes: Attributes, custom: dict[str, int]) -> None:
        """Check search attributes as a server does, in a namespace with custom ones."""
        self._live = Partition(attributes)
        self._namespace = msgspec.structs.replace(NAMESPACE, search_attributes=custom)

    def be_in(self, namespace: Namespace) -> None:
        """Ask in a namespace from now on: another one, or the same as it is now."""
        self._namespace = namespace

    def limit(self, **limits: Any) -> None:
        """Have other limits than Temporal's."""
        self._live = Partition(limits=Limits(**limits))

    def archive_to(self, uri: str) -> None:
        """Let runs that close from now on be archived."""
        archival = Archival(ENABLED, uri)
        self.be_in(msgspec.structs.replace(self._namespace, history_archival=archival))

    # -- asking

    @property
    def rows(self) -> MemoryRows:
        """What is stored."""
        return self._live.rows

    def ask(self, method: str, request: Any, *, workflow_id: str = "w") -> bytes:
        """Ask the core; return the answer's bytes, raise the refusal."""
        self._asked += 1
        self.now += MILLISECOND
        ask = Ask(
            method, self._namespace, workflow_id, request, command_id=self._asked.to_bytes(16)
        )
        decision = self._decide(ask)
        self._accept(decision)
        (reply,) = decision.replies
        body = reply.body
        if isinstance(body, ServiceError):
            raise body
        return body(self.rows) if callable(body) else body

    def call(self, method: str, *, to: str = "w", **fields: Any) -> Any:
        """Ask what an RPC asks; return its response."""
        request = getattr(service, f"{method}Request")(**fields)
        response = getattr(service, f"{method}Response")
        return response.FromString(self.ask(method, request, workflow_id=to))

    def read(self, method: str, request: Any) -> bytes:
        """Read accepted state."""
        return self._live.core.read(method, request, NAMESPACE.id, self.rows)

    @contextmanager
    def refused(self, kind: type[ServiceError], message: str) -> Iterator[None]:
        """Expect a refusal, and that it recorded nothing."""
        before = (len(self.log), dict(self.rows.rows), list(self.offers))
        with pytest.raises(kind) as refusal:
            yield
        assert refusal.value.message == message
        assert before == (len(self.log), self.rows.rows, self.offers), "a refusal left a trace"

    def new_id(self) -> str:
        """Return a new sample id; they sort in the order they were made."""
        self._ids += 1
        return f"00000000-0000-4000-8000-{self._ids:012x}"

    # -- clients

    def start(self, workflow_id: str = "w", *, queue: str = "tq", **more: Any) -> str:
        """Start a workflow; return its run id."""
        fields: dict[str, Any] = {
            "namespace": NAMESPACE.name,
            "workflow_id": workflow_id,
            "workflow_type": {"name": "Flow"},
            "task_queue": {"name": queue},
            "request_id": self.new_id(),
        }
        method = "StartWorkflowExecution"
        response = self.call(method, to=workflow_id, **(fields | more))
        self.run_id = str(response.run_id)
        return self.run_id

    def signal(self, name: str = "go", *, workflow_id: str = "w", **more: Any) -> None:
        """Signal a workflow."""
        fields = {"workflow_execution": {"workflow_id": workflow_id}, "signal_name": name}
        request_id = {"request_id": self.new_id()}
        self.call("SignalWorkflowExecution", to=workflow_id, **(fields | request_id | more))

    def cancel(self, workflow_id: str = "w") -> None:
        """Ask a workflow to end."""
        self.call(
            "RequestCancelWorkflowExecution",
            to=workflow_id,
            workflow_execution={"workflow_id": workflow_id},
            reason="enough",
        )

    def terminate(self, workflow_id: str = "w", **more: Any) -> Any:
        """Terminate a workflow."""
        fields = {"workflow_execution": {"workflow_id": workflow_id}, "reason": "stop"}
        method = "TerminateWorkflowExecution"
        return self.call(method, to=workflow_id, **(fields | more))

    def delete(self, workflow_id: str = "w", *, run_id: str = "") -> None:
        """Delete a workflow."""
        execution = {"workflow_id": workflow_id, "run_id": run_id}
        self.call("DeleteWorkflowExecution", to=workflow_id, workflow_execution=execution)

    # -- workers

    def poll(self, queue: str = "tq") -> WorkflowTask:
        """Take the next workflow task, waiting as long as it takes."""
        return WorkflowTask.FromString(self._take(queue, "workflow"))

    def poll_activity(self, queue: str = "tq") -> ActivityTask:
        """Take the next activity task, waiting as long as it takes."""
        return ActivityTask.FromString(self._take(queue, "activity"))

    def start_task(self, offer: OfferTask, *, poll_id: str = "") -> bytes:
        """Start an offered task for a poll; raises Stale."""
        ask = StartTask(
            poll_id=poll_id or self.new_id(),
            identity="worker",
            kind=offer.kind,
            queue=offer.queue,
            run_id=offer.run_id,
            scheduled_event_id=offer.scheduled_event_id,
            attempt=offer.attempt,
            stamp=offer.stamp,
        )
        return self.ask("StartTask", ask, workflow_id=offer.workflow_id)

    def hand_back(self, offer: OfferTask, *, poll_id: str) -> None:
        """Give a started task back; raises Stale."""
        ask = HandBack(
            poll_id=poll_id,
            kind=offer.kind,
            run_id=offer.run_id,
            scheduled_event_id=offer.scheduled_event_id,
            attempt=offer.attempt,
            stamp=offer.stamp,
        )
        self.ask("HandBack", ask, workflow_id=offer.workflow_id)

    def reply(self, task: Any, *commands: command.Command, **more: Any) -> Any:
        """Complete a workflow task."""
        return self._respond("WorkflowTaskCompleted", task, commands=commands, **more)

    def step(self, *commands: command.Command, queue: str = "tq", **more: Any) -> Any:
        """Take the next workflow task and complete it."""
        return self.reply(self.poll(queue), *commands, **more)

    def fail_task(self, task: Any, **more: Any) -> Any:
        """Report a workflow task as failed."""
        return self._respond("WorkflowTaskFailed", task, **more)

    def finish_activity(self, task: Any, *result: common.Payload) -> Any:
        """Complete an activity."""
        fields = {"result": common.Payloads(payloads=result)} if result else {}
        return self._respond("ActivityTaskCompleted", task, **fields)

    def fail_activity(self, task: Any, **more: Any) -> Any:
        """Report an attempt of an activity as failed."""
        return self._respond("ActivityTaskFailed", task, **more)

    def cancel_activity(self, task: Any, **more: Any) -> Any:
        """Report an activity as cancelled."""
        return self._respond("ActivityTaskCanceled", task, **more)

    def beat(self, task: Any, *details: common.Payload) -> Any:
        """Report progress of an activity."""
        fields = {"details": common.Payloads(payloads=details)} if details else {}
        return self.call(
            "RecordActivityTaskHeartbeat",
            to=task.workflow_execution.workflow_id,
            task_token=task.task_token,
            identity="worker",
            **fields,
        )

    # -- time

    def pass_time(self, seconds: float) -> None:
        """Let time pass; what becomes due on the way fires at its instant."""
        until = self.now + round(seconds * SECOND)
        while (at := self.next_due_at()) is not None and at <= until:
            self.now = max(self.now, at)
            self.fire_due()
        self.now = max(self.now, until)

    def next_due_at(self) -> int | None:
        """Return when the next thing becomes due."""
        return self._live.core.next_due_at(self.rows, after=b"")

    def fire_due(self) -> None:
        """Fire everything that is due now, each run once."""
        due = self._live.core.due(self.rows, after=b"", until=self.now, limit=DUE_MAX)
        for _, ask in due:
            self.now -= MILLISECOND  # a wake-up takes no time
            self.ask(ask.method, ask.request, workflow_id=ask.workflow_id)
        left = self._live.core.due(self.rows, after=b"", until=self.now, limit=DUE_MAX)
        assert left == [], "something is still due after it fired"

    def expire(self, *, limit: int = DUE_MAX) -> list[str]:
        """Delete closed runs whose retention is over; return their run ids."""
        due = self._live.core.due(self.rows, after=b"e", until=self.now, limit=limit)
        for _, ask in due:
            self.now -= MILLISECOND  # a wake-up takes no time
            self.ask(ask.method, ask.request)
        return [run_id for _, ask in due for run_id in ask.request.run_ids]

    # -- what is there

    def events(self, workflow_id: str = "w", run_id: str = "") -> list[history.HistoryEvent]:
        """Return a whole history, as an SDK's worker sees it."""
        request = service.GetWorkflowExecutionHistoryRequest()
        request.execution.workflow_id = workflow_id
        request.execution.run_id = run_id
        found: list[history.HistoryEvent] = []
        while True:
            packed = self.read("GetWorkflowExecutionHistory", ReadHistory(request, True))  # noqa: FBT003
            page = service.GetWorkflowExecutionHistoryResponse.FromString(packed)
            found += page.history.events
            request.next_page_token = page.next_page_token
            if not page.next_page_token:
                return found

    def described(self, workflow_id: str = "w") -> service.DescribeWorkflowExecutionResponse:
        """Return what Describe says of the newest run."""
        request = service.DescribeWorkflowExecutionRequest()
        request.execution.workflow_id = workflow_id
        packed = self.read("DescribeWorkflowExecution", request)
        return service.DescribeWorkflowExecutionResponse.FromString(packed)

    def runs(self) -> list[Run]:
        """Return the states of all runs, as they load from their rows."""
        run_ids = {key[1:37].decode() for key, _ in self.rows.scan(b"r")}
        loaded = (run_rows.load(self.rows, run_id) for run_id in sorted(run_ids))
        return [run for run in loaded if run is not None]

    def run(self, run_id: str) -> Run:
        """Return the state of a run, as it loads from its rows."""
        found = run_rows.load(self.rows, run_id)
        assert found is not None, f"expected run {run_id}, found none"
        return found

    def forget(self) -> None:
        """Let the core lose its cache, as after an append of unknown outcome."""
        self._live.core.forget()

    # -- the rule of every core test

    def check(self) -> None:
        """Fold the whole log from nothing: it must give the rows that deciding gave."""
        partition = Partition()
        for decided_at, changes in self.log:
            partition.rows.write(partition.core.fold(changes, decided_at=decided_at))
        assert partition.rows.rows == self.rows.rows
        for run_id, run in self._live.core._runs.items():
            assert run_rows.load(self.rows, run_id) == run, f"run {run_id} loads differently"

    # -- inside

    def _decide(self, ask: Ask) -> Decision:
        """Decide; a refusal must leave the states as they were."""
        runs = self._live.core._runs
        before = dict(runs)
        try:
            return self._live.core.decide(ask, now=self.now, seed=self._asked.to_bytes(32))
        except ServiceError:
            assert all(runs[run_id] is run for run_id, run in before.items())
            raise

    def _accept(self, decision: Decision) -> None:
        changes = copy.deepcopy(decision.changes)
        if changes:
            self.log.append((self.now, changes))
        self._live.rows.write(decision.rows)
        replayed = self._replayed.core.fold(changes, decided_at=self.now)
        assert replayed == decision.rows, "replaying a decision wrote other rows"
        self._replayed.rows.write(replayed)
        offers = [each for each in decision.effects if isinstance(each, OfferTask)]
        self.offers += offers
        self.offered += offers

    def _take(self, queue: str, kind: str) -> bytes:
        while True:
            for offer in list(self.offers):
                if (offer.queue, offer.kind) != (queue, kind):
                    continue
                self.offers.remove(offer)
                try:
                    return self.start_task(offer)
                except Stale:
                    continue
            at = self.next_due_at()
            assert at is not None, f"expected a {kind} task on {queue}, and none will come"
            self.now = max(self.now, at)
            self.fire_due()

    def _respond(self, what: str, task: Any, **fields: Any) -> Any:
        return self.call(
            f"Respond{what}",
            to=task.workflow_execution.workflow_id,
            task_token=task.task_token,
            identity="worker",
            **fields,
        )
