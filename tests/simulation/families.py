"""The real core in the simulated world: parents start children and signal listeners.

A stand-in for matching and workers takes offered workflow tasks, starts them at the owner, and
answers them as an SDK would. It forgets what it took when its node dies; timeouts see to the rest.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Awaitable

from schemas import event_types as on
from schemas.errors import ServiceError, Stale
from schemas.temporal import command, enums, history, service
from streams.log.outbox import Performer
from tests.simulation import audit
from tests.simulation.forwarded import ForwardChaos, quiet
from tests.simulation.world import EVENTS, Node, Parts, World
from tests.support.log_toy import NAMESPACE
from topology.core import Core
from topology.decision import Ask
from topology.effects import Effect, OfferTask
from topology.own_work import StartTask
from topology.requests import parse
from topology.typed_commands import request_of

CHILDREN = 3
LISTENERS = 2
_Type = enums.CommandType
_CLOSED = (on.CHILD_WORKFLOW_EXECUTION_COMPLETED, on.CHILD_WORKFLOW_EXECUTION_TERMINATED)
_SIGNALED = (
    on.EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
    on.SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
)


class Families(Parts):
    """The real core, and its workers."""

    make_machine = staticmethod(Core)
    parse = staticmethod(parse)
    parse_client = staticmethod(request_of)

    def furnish(self, node: Node) -> Performer:
        """Build the workers of a node."""
        return Workers(node)


class Workers:
    """Performs offers by doing the work."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def perform(self, partition: int, effect: Effect) -> Awaitable[None] | None:
        """Take an offered task."""
        self._node.before_perform()
        if not self._node.is_alive or not isinstance(effect, OfferTask):
            return None
        return self._take(partition, effect, self._node.world.rng.randbytes(8).hex())

    async def _take(self, partition: int, task: OfferTask, poll_id: str) -> None:
        world = self._node.world
        start = StartTask(
            poll_id=poll_id,
            identity="worker",
            kind=task.kind,
            queue=task.queue,
            run_id=task.run_id,
            scheduled_event_id=task.scheduled_event_id,
            attempt=task.attempt,
            stamp=task.stamp,
        )
        ask = Ask("StartTask", NAMESPACE, task.workflow_id, start)
        try:
            answer = await self._node.history.own_work(partition, ask)
        except Stale:
            return
        polled = service.PollWorkflowTaskQueueResponse.FromString(answer)
        world.loop.create_task(_answer(world, task.workflow_id, polled))


async def _answer(
    world: World, workflow_id: str, task: service.PollWorkflowTaskQueueResponse
) -> None:
    request = service.RespondWorkflowTaskCompletedRequest(
        task_token=task.task_token, commands=_commands(workflow_id, task)
    )
    try:
        await world.ask(workflow_id, "RespondWorkflowTaskCompleted", request.SerializeToString())
    except (ServiceError, TimeoutError):
        return  # timed out meanwhile; it is offered again


def _commands(
    workflow_id: str, task: service.PollWorkflowTaskQueueResponse
) -> list[command.Command]:
    events = list(task.history.events)
    tally = Tally(event.event_type for event in events)
    if task.workflow_type.name == "child":
        return [_complete()]
    if task.workflow_type.name == "listener":
        return []
    if not tally[on.START_CHILD_WORKFLOW_EXECUTION_INITIATED]:
        children = [_child(f"{workflow_id}-c{n}") for n in range(CHILDREN)]
        return children + [_signal(f"l{n}", workflow_id) for n in range(LISTENERS)]
    ended = sum(tally[kind] for kind in _CLOSED) + tally[on.START_CHILD_WORKFLOW_EXECUTION_FAILED]
    told = sum(tally[kind] for kind in _SIGNALED)
    return [_complete()] if (ended, told) == (CHILDREN, LISTENERS) else []


def _complete() -> command.Command:
    made = command.Command(command_type=_Type.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION)
    made.complete_workflow_execution_command_attributes.SetInParent()
    return made


def _child(workflow_id: str) -> command.Command:
    made = command.Command(command_type=_Type.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION)
    wanted = made.start_child_workflow_execution_command_attributes
    wanted.workflow_id = workflow_id
    wanted.workflow_type.name = "child"
    wanted.input.payloads.add(data=workflow_id.encode())
    return made


def _signal(workflow_id: str, sender: str) -> command.Command:
    made = command.Command(command_type=_Type.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION)
    wanted = made.signal_external_workflow_execution_command_attributes
    wanted.execution.workflow_id = workflow_id
    wanted.signal_name = sender
    return made


def _kept(world: World) -> Tally[str]:
    """Return how often each run closed, less how often it was deleted."""
    kept: Tally[str] = Tally()
    for number in range(world.partitions):
        for _, is_claim, fields in audit.accepted(world.kafka.log(EVENTS, number)):
            for change in () if is_claim else fields["changes"]:
                names = [fact.get("name") for _, fact in change["facts"]]
                kept[change["run_id"]] += names.count("RunKept") - names.count("RunDeleted")
    return kept


def _left(world: World) -> list[bytes]:
    """Return the rows that owners have of runs that nobody finds any more."""
    disks = [
        disk
        for node in world.nodes
        for number, disk in node.disks.items()
        if node.is_alive and node.history.serves(number)
    ]
    return [
        key
        for disk in disks
        for key in disk.keys
        if key[:1] in (b"g", b"h", b"q", b"r") and b"r" + key[1:37] + b"x" not in disk.rows
    ]


async def check_deleted(world: World) -> None:
    """Their retention being over at once, closed runs are deleted once and leave nothing."""
    async with asyncio.timeout(60):
        while any(_kept(world).values()) or _left(world):  # noqa: ASYNC110  virtual
            await asyncio.sleep(0.1)


def start_request(workflow_id: str, kind: str) -> bytes:
    """Return a Start."""
    request = service.StartWorkflowExecutionRequest(
        namespace="ns", workflow_id=workflow_id, request_id=f"start-{workflow_id}"
    )
    request.workflow_type.name = kind
    request.task_queue.name = "q"
    return request.SerializeToString()


def events_of(world: World) -> dict[str, list[history.HistoryEvent]]:
    """Return the events of each workflow id that the logs accept, and how runs were opened."""
    found: dict[str, list[history.HistoryEvent]] = {}
    for number in range(world.partitions):
        for _, is_claim, fields in audit.accepted(world.kafka.log(EVENTS, number)):
            if is_claim:
                continue
            for change in fields["changes"]:
                events = found.setdefault(change["id"], [])
                for kind, fact in change["facts"]:
                    if kind == "millrace.HistoryFact":
                        events.append(history.HistoryEvent.FromString(fact["body"]))
    return found


async def families_under_chaos(world: World) -> None:
    """Start parents under faults; every child runs once, every signal arrives once."""
    world.start(nodes=world.rng.choice((1, 2)))
    faults = ForwardChaos(world)
    faults.furnish()
    running = asyncio.create_task(faults.run(10.0))
    parents = [f"p{n}" for n in range(6)]
    kinds = [(f"l{n}", "listener") for n in range(LISTENERS)]
    for workflow_id, kind in kinds + [(parent, "parent") for parent in parents]:
        request = start_request(workflow_id, kind)
        await world.ask(workflow_id, "StartWorkflowExecution", request, timeout_s=600)
    await running
    await world.settle()
    async with asyncio.timeout(600):
        while not _is_over(world, parents):  # noqa: ASYNC110  virtual
            await asyncio.sleep(1.0)
    await quiet(world)
    world.audit()
    check_families(world, parents)
    await check_deleted(world)


def _is_over(world: World, parents: list[str]) -> bool:
    """Whether the parents are closed and nothing waits for a listener's task to end."""
    known = events_of(world)
    closed = on.WORKFLOW_EXECUTION_COMPLETED
    is_closed = all(any(e.event_type == closed for e in known.get(p, [])) for p in parents)
    signals = sum(
        each.event_type == on.WORKFLOW_EXECUTION_SIGNALED
        for number in range(LISTENERS)
        for each in known.get(f"l{number}", [])
    )
    return is_closed and signals >= LISTENERS * len(parents)


def check_families(world: World, parents: list[str]) -> None:
    """No child ran twice, none is missing; no signal was delivered twice, none is missing."""
    known = events_of(world)
    for parent in parents:
        tally = Tally(event.event_type for event in known[parent])
        assert tally[on.CHILD_WORKFLOW_EXECUTION_STARTED] == CHILDREN
        assert tally[on.CHILD_WORKFLOW_EXECUTION_COMPLETED] == CHILDREN
        assert tally[on.EXTERNAL_WORKFLOW_EXECUTION_SIGNALED] == LISTENERS
        for number in range(CHILDREN):
            child = known[f"{parent}-c{number}"]
            began = [e for e in child if e.event_type == on.WORKFLOW_EXECUTION_STARTED]
            assert len(began) == 1, f"{parent}-c{number} began {len(began)} times"
            given = began[0].workflow_execution_started_event_attributes
            assert given.input.payloads[0].data == f"{parent}-c{number}".encode()
    for number in range(LISTENERS):
        signals = [
            event.workflow_execution_signaled_event_attributes.signal_name
            for event in known[f"l{number}"]
            if event.event_type == on.WORKFLOW_EXECUTION_SIGNALED
        ]
        assert sorted(signals) == sorted(parents)
