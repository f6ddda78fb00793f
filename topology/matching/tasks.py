"""Tasks: their keys, their records on `tasks`, and what history is asked about them (M1, M2).

This file does not order tasks and holds none.
"""

from typing import Final, NamedTuple

import msgspec

from schemas.codec import TASK
from topology.decision import Ask, Namespace
from topology.effects import OfferTask, TaskKind
from topology.own_work import HandBack, StartTask, StickyDead

FIRST_LEVEL: Final = 1
DEFAULT_LEVEL: Final = 3
LAST_LEVEL: Final = 5

_KINDS: Final[dict[str, TaskKind]] = {"workflow": "workflow", "activity": "activity"}


class QueueKey(NamedTuple):
    """Which task queue."""

    namespace_id: str
    queue: str
    kind: TaskKind


class Task(msgspec.Struct, frozen=True):
    """Work for one worker: its key on `tasks`, and the history partition that decides about it."""

    key: bytes
    partition: int
    offer: OfferTask

    @property
    def level(self) -> int:
        """Return its priority, 1 (first) to 5; what names none has the default."""
        return level_of(self.offer.priority)

    def is_expired(self, now: int) -> bool:
        """Tell whether it may be dropped unoffered at `now` (ns)."""
        return 0 < self.offer.expires_at <= now


class Worker(msgspec.Struct, frozen=True):
    """What a poll says of its worker."""

    key: str = ""  # of this very worker; empty: unknown
    tasks_per_second: float | None = None  # bound of the whole queue, from now on


class WorkerEnd(msgspec.Struct, frozen=True):
    """A worker stops: what ends in one task queue."""

    namespace_id: str
    queue: str
    kind: TaskKind
    worker: str = ""  # whose polls are answered empty
    is_sticky: bool = False  # the whole queue is given up


class Poll(msgspec.Struct, frozen=True):
    """A worker that waits for a task; the id makes asking again for the same poll harmless."""

    poll_id: str
    identity: str
    namespace: Namespace
    worker: Worker = Worker()


class QueryTask(msgspec.Struct, frozen=True):
    """A question to a worker (M4): `answer` is what the poll that takes it is answered with.

    The same id handed over again takes the place of the one before.
    """

    query_id: str
    answer: bytes
    is_sticky: bool = False


class Match(NamedTuple):
    """A task and the poll it is for; history has the last word."""

    task: Task
    poll: Poll


def level_of(priority: int) -> int:
    """Return the level of a task's priority."""
    return min(max(priority, FIRST_LEVEL), LAST_LEVEL) if priority else DEFAULT_LEVEL


def offered(partition: int, offer: OfferTask) -> Task:
    """Return the task that a history partition offers."""
    return Task(key_of(offer), partition, offer)


def key_of(offer: OfferTask) -> bytes:
    """Return the record key of a task."""
    return (
        f"{offer.namespace_id}/{offer.queue}/{offer.kind}/{offer.run_id}"
        f"/{offer.scheduled_event_id}/{offer.attempt}/{offer.stamp}"
    ).encode()


def queue_of(offer: OfferTask) -> QueueKey:
    """Return the task queue of an offer."""
    return QueueKey(offer.namespace_id, offer.queue, offer.kind)


def queue_of_key(key: bytes) -> QueueKey | None:
    """Return the task queue that a record key names; None: it is no task's key.

    A queue's name may contain slashes, the other parts do not.
    """
    parts = key.decode().rsplit("/", 5)
    if len(parts) != 6 or parts[1] not in _KINDS:
        return None
    namespace_id, slash, queue = parts[0].partition("/")
    return QueueKey(namespace_id, queue, _KINDS[parts[1]]) if slash else None


def value_of(task: Task) -> bytes:
    """Return the record value of a task."""
    offer = task.offer
    fields = {**msgspec.structs.asdict(offer), "partition": task.partition}
    return TASK.encode({**fields, "sticky": offer.is_sticky})


def task_of(value: bytes) -> Task:
    """Read a task's record; raises Undecodable."""
    fields = TASK.decode(value)
    partition = fields.pop("partition")
    assert isinstance(partition, int), f"expected a partition's number, found {partition!r}"
    fields["type"] = "offer_task"
    fields["is_sticky"] = fields.pop("sticky")
    return offered(partition, msgspec.convert(fields, OfferTask))


def start_ask(task: Task, poll: Poll) -> Ask:
    """Return the ask to start a task for a poll (M1)."""
    offer = task.offer
    return Ask(
        "StartTask",
        poll.namespace,
        offer.workflow_id,
        StartTask(
            poll.poll_id,
            poll.identity,
            offer.kind,
            offer.queue,
            offer.run_id,
            offer.scheduled_event_id,
            offer.attempt,
            offer.stamp,
        ),
    )


def sticky_dead_ask(task: Task) -> Ask:
    """Return what tells history that nobody polls a task's sticky queue (M3)."""
    offer = task.offer
    return Ask(
        "StickyDead",
        Namespace(offer.namespace_id, offer.namespace, 0, 0),
        offer.workflow_id,
        StickyDead(offer.run_id, offer.scheduled_event_id, offer.attempt, offer.stamp),
    )


def hand_back_ask(task: Task, poll: Poll) -> Ask:
    """Return the ask to take a started task back: its poll is gone (M2)."""
    offer = task.offer
    return Ask(
        "HandBack",
        poll.namespace,
        offer.workflow_id,
        HandBack(
            poll.poll_id,
            offer.kind,
            offer.run_id,
            offer.scheduled_event_id,
            offer.attempt,
            offer.stamp,
        ),
    )
