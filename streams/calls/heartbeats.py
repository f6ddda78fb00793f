"""Heartbeats on their way to an owner: gathered by partition, the newest of each activity (T3).

A beat that comes while nothing is gathered goes out at the end of the turn; what comes in the 200
ms behind it goes out together, sooner where a short heartbeat timeout asks for it or a MiB is
reached. A beat that is not decided fails its callers, who ask again under their command ids (C2).
This file does not decide what a heartbeat means.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from schemas.errors import NotTheOwner, ServiceError
from streams.log.ports import Clock
from streams.metrics import Count, Metrics

GATHER_S = 0.2
"""How long beats are gathered at most."""

_TIMEOUT_SHARE = 20
_MAX_BYTES = 1024 * 1024

Answer = asyncio.Future[bytes]


class Beat:
    """The newest heartbeat of one activity, and the callers who wait for its answer."""

    __slots__ = (
        "activity",
        "answers",
        "command_id",
        "heartbeat_timeout",
        "method",
        "namespace",
        "parked",
        "principal",
        "request",
        "workflow_id",
    )

    def __init__(  # noqa: PLR0913  what a beat is
        self,
        *,
        command_id: bytes,
        namespace: str,
        workflow_id: str,
        method: str,
        request: bytes,
        activity: str,
        heartbeat_timeout: int,
        principal: str = "",
    ) -> None:
        self.command_id = command_id
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.method = method
        self.request = request
        self.activity = activity
        self.heartbeat_timeout = heartbeat_timeout  # ns; 0: not known
        self.principal = principal
        self.answers: list[Answer] = []
        self.parked: Answer | None = None

    def fields(self) -> dict[str, object]:
        """Return the Avro fields of the beat."""
        return {
            "command_id": self.command_id,
            "namespace": self.namespace,
            "workflow_id": self.workflow_id,
            "method": self.method,
            "request": self.request,
        }

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells beats of the same activity."""
        return (self.namespace, self.workflow_id, self.activity)

    @property
    def is_awaited(self) -> bool:
        """Whether a caller still waits for it."""
        return any(not answer.done() for answer in self.answers)

    def serve(self, answers: Iterable[Answer]) -> None:
        """Answer these callers too; when the last one is gone, nobody waits at the owner."""
        for answer in answers:
            self.answers.append(answer)
            answer.add_done_callback(self._left)

    def _left(self, _answer: Answer) -> None:
        if not self.is_awaited:
            self.forget()

    def forget(self) -> None:
        """Wait no longer at the owner."""
        parked, self.parked = self.parked, None
        if parked is not None:
            parked.cancel()

    def settle(self, done: Answer) -> None:
        """Hand an answer, or a refusal, to all who wait."""
        error = done.exception()
        for answer in self.answers:
            if answer.done():
                continue
            if error is None:
                answer.set_result(done.result())
            else:
                answer.set_exception(error)

    def fail(self, error: ServiceError) -> None:
        """Fail all who wait."""
        for answer in self.answers:
            if not answer.done():
                answer.set_exception(error)

    @property
    def patience_s(self) -> float:
        """How long the beat may be held back."""
        if not self.heartbeat_timeout:
            return GATHER_S
        return min(GATHER_S, self.heartbeat_timeout / 1e9 / _TIMEOUT_SHARE)


Park = Callable[[int, Beat], Answer]
"""Waits for a beat's answer at its owner; from then on no timeout overtakes it (T3)."""
Send = Callable[[int, list[Beat]], None]
"""Appends beats of a partition as one command; raises NotTheOwner."""


class _Gathered:
    """The beats of one partition that wait to go out."""

    __slots__ = ("beats", "due_at", "sent_at", "size_bytes", "timer")

    def __init__(self) -> None:
        self.beats: dict[tuple[str, str, str], Beat] = {}
        self.size_bytes = 0
        self.due_at = 0.0
        self.sent_at = float("-inf")
        self.timer: asyncio.Handle | None = None


class Heartbeats:
    """Gathers beats; one timer for each partition that has some."""

    def __init__(
        self,
        park: Park,
        send: Send,
        *,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._park = park
        self._send = send
        self._clock = clock
        self._partitions: dict[int, _Gathered] = {}
        self._beats: Count = metrics.count(
            "millrace_streams_heartbeats_total", "Heartbeats taken from workers."
        )
        self._superseded: Count = metrics.count(
            "millrace_streams_heartbeats_superseded_total",
            "Heartbeats answered by a newer one of their activity.",
        )

    def add(self, partition: int, beat: Beat) -> Answer:
        """Take a beat along; return the future of its answer."""
        answer: Answer = asyncio.get_running_loop().create_future()
        beat.serve([answer])
        self._beats.value += 1
        older = self._of(partition).beats.pop(beat.key, None)
        if older is not None:
            self._superseded.value += 1
            self._of(partition).size_bytes -= len(older.request)
            beat.serve(older.answers)
        self._gather(partition, beat)
        if older is not None:
            older.forget()
        return answer

    def _of(self, partition: int) -> _Gathered:
        return self._partitions.setdefault(partition, _Gathered())

    def _gather(self, partition: int, beat: Beat) -> None:
        try:
            beat.parked = self._park(partition, beat)
        except NotTheOwner as error:
            beat.fail(error)
            return
        beat.parked.add_done_callback(partial(self._settle, partition, beat))
        gathered = self._of(partition)
        gathered.beats[beat.key] = beat
        gathered.size_bytes += len(beat.request)
        self._schedule(partition, gathered, beat)

    def _schedule(self, partition: int, gathered: _Gathered, beat: Beat) -> None:
        """See to it that what is gathered goes out when this beat must."""
        now = self._clock.monotonic()
        due_at = max(now, min(now + beat.patience_s, gathered.sent_at + GATHER_S))
        if gathered.size_bytes >= _MAX_BYTES:
            due_at = now
        if gathered.timer is not None:
            if due_at >= gathered.due_at:
                return
            gathered.timer.cancel()
        gathered.due_at = due_at
        loop = asyncio.get_running_loop()
        if due_at <= now:
            gathered.timer = loop.call_soon(self._go, partition, gathered)
        else:
            gathered.timer = loop.call_later(due_at - now, self._go, partition, gathered)

    def _go(self, partition: int, gathered: _Gathered) -> None:
        """Send what was gathered, as far as somebody still waits for it."""
        beats = [beat for beat in gathered.beats.values() if beat.is_awaited]
        gathered.beats = {}
        gathered.size_bytes = 0
        gathered.timer = None
        if not beats:
            return
        gathered.sent_at = self._clock.monotonic()
        try:
            self._send(partition, beats)
        except NotTheOwner as error:
            for beat in beats:
                beat.forget()
                beat.fail(error)

    def _settle(self, partition: int, beat: Beat, done: Answer) -> None:
        """Hand the answer, or the failure, to all who wait."""
        if done is not beat.parked:
            return  # forgotten: superseded, or its callers are gone
        beat.parked = None
        gathered = self._of(partition)
        if gathered.beats.get(beat.key) is beat:  # failed before it went out
            del gathered.beats[beat.key]
            gathered.size_bytes -= len(beat.request)
        if done.cancelled():
            beat.fail(NotTheOwner("the heartbeat was lost with its partition"))
        else:
            beat.settle(done)
