"""The way to the owner of a workflow id: commands are appended, decided there, and answered here.

`ask` appends a command to `commands-internal` and waits for its decision, once: who repeats, under
the same command id, is `streams/calls/forward.py` (C2). All commands of one turn of the loop go out
in one append per partition; nothing lingers. `read` asks for accepted state.
This file decides nothing, never looks into a request, and knows the partitions of this node only.
"""

import asyncio
from typing import Protocol, Self

from schemas import codec
from schemas.errors import DeadlineExceeded, OutcomeUnknown, Unavailable
from schemas.ids import workflow_key, workflow_partition
from streams.calls.asked import ID_BYTES, Asked
from streams.calls.heartbeats import Beat, Heartbeats
from streams.log.ports import Clock, Producer, Random
from streams.metrics import Count, Metrics
from streams.positions import position_of
from topology.decision import Namespace


class Node(Protocol):
    """The history partitions of this node, as the gateway needs them."""

    @property
    def partitions(self) -> int:
        """How many history partitions there are, on all nodes."""
        ...

    def origin(self, partition: int) -> tuple[int, bytes]:
        """Return (epoch, incarnation) of our accepted claim; raises NotTheOwner."""
        ...

    def park(
        self, partition: int, command_id: bytes, *, hold: tuple[str, str] | None = None
    ) -> asyncio.Future[bytes]:
        """Return a future of a command's answer; one that is done already is of no interest.

        Heartbeat timeouts of the workflow that `hold` names (namespace name, workflow id) do not
        fire before it is done (T3). May raise NotTheOwner.
        """
        ...

    def seq(self, partition: int) -> int:
        """Return the seq of the last accepted record; raises NotTheOwner."""
        ...

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Read accepted state (R1); raises NotTheOwner."""
        ...


class Namespaces(Protocol):
    """How far this node has read `namespaces`."""

    @property
    def position(self) -> int:
        """The next offset."""
        ...


class Gateway:
    """Asks the partitions of this node, for one request of a client after another."""

    def __init__(
        self,
        node: Node,
        commands: Producer,
        namespaces: Namespaces,
        *,
        clock: Clock,
        random: Random,
        metrics: Metrics,
    ) -> None:
        self._node = node
        self._namespaces = namespaces
        self._clock = clock
        self._random = random
        self._asked: Asked | None = None
        self.written = ""
        """The position of what the request of `under` has written; empty: nothing."""
        self._outbound = _Outbound(commands, metrics)
        self._heartbeats = Heartbeats(
            self._park_beat, self._send_beats, clock=clock, metrics=metrics
        )

    def under(self, asked: Asked) -> Self:
        """Return the gateway for one request: its command carries that request's id (L12)."""
        one = object.__new__(type(self))
        one.__dict__.update(self.__dict__)
        one._asked = asked
        return one

    async def ask(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: bytes,
        *,
        timeout_s: float,
    ) -> bytes:
        """Have a command decided; return its answer.

        Raises the ServiceError it was refused with; NotTheOwner, OutcomeUnknown; DeadlineExceeded
        when the time is up, which does not say that nothing happened.
        """
        partition = workflow_partition(namespace.name, workflow_id, self._node.partitions)
        command_id = self._command_id()
        fields: codec.Fields = {
            "command_id": command_id,
            "namespace": namespace.name,
            "workflow_id": workflow_id,
            "body": ("millrace.GrpcRequest", {"method": method, "request": request}),
        }
        if self._asked is not None and self._asked.principal:
            fields["principal"] = self._asked.principal
        key = workflow_key(namespace.name, workflow_id)
        value = self._encode(partition, fields)
        answer = self._node.park(partition, command_id)
        self._outbound.add(partition, key, value, [answer])
        answered = await _within(answer, timeout_s)
        self.written = position_of(partition, self._node.seq(partition))
        return answered

    async def beat(  # noqa: PLR0913  one beat is named by all of these
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: bytes,
        *,
        activity: str,
        heartbeat_timeout: int,
        timeout_s: float,
    ) -> bytes:
        """Have a heartbeat decided, gathered with others of its partition (T3).

        `activity` tells which beats are of the same activity: the newest is recorded and all
        their callers get its answer. `heartbeat_timeout` is in ns, 0 where it is not known.
        """
        beat = Beat(
            command_id=self._command_id(),
            namespace=namespace.name,
            workflow_id=workflow_id,
            method=method,
            request=request,
            activity=activity,
            heartbeat_timeout=heartbeat_timeout,
            principal="" if self._asked is None else self._asked.principal,
        )
        partition = workflow_partition(namespace.name, workflow_id, self._node.partitions)
        answer = self._heartbeats.add(partition, beat)
        return await _within(answer, timeout_s)

    async def read(
        self,
        namespace: Namespace,
        workflow_id: str,
        method: str,
        request: object,
        *,
        timeout_s: float,
    ) -> bytes:
        """Read accepted state of a workflow id (R1); raises NotFound, NotTheOwner."""
        partition = workflow_partition(namespace.name, workflow_id, self._node.partitions)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._node.read(partition, method, request, namespace.id)
        except TimeoutError:
            raise DeadlineExceeded("deadline exceeded before the read was current") from None

    def _command_id(self) -> bytes:
        return self._random.bytes(ID_BYTES) if self._asked is None else self._asked.id

    def _park_beat(self, partition: int, beat: Beat) -> asyncio.Future[bytes]:
        hold = (beat.namespace, beat.workflow_id)
        return self._node.park(partition, beat.command_id, hold=hold)

    def _send_beats(self, partition: int, beats: list[Beat]) -> None:
        """Append beats as one command for each principal that sent some."""
        by_principal: dict[str, list[Beat]] = {}
        for beat in beats:
            by_principal.setdefault(beat.principal, []).append(beat)
        for same in by_principal.values():
            self._send_beats_of_one(partition, same)

    def _send_beats_of_one(self, partition: int, beats: list[Beat]) -> None:
        """Append beats of one principal; a single one is a plain request."""
        first = beats[0]
        fields: codec.Fields = {"namespace": first.namespace, "workflow_id": first.workflow_id}
        if len(beats) == 1:
            body = {"method": first.method, "request": first.request}
            fields |= {"command_id": first.command_id, "body": ("millrace.GrpcRequest", body)}
        else:
            rows = [beat.fields() for beat in beats]
            fields |= {
                "command_id": self._random.bytes(ID_BYTES),
                "body": ("millrace.Heartbeats", {"beats": rows}),
            }
        if first.principal:
            fields["principal"] = first.principal
        value = self._encode(partition, fields)
        answers = [beat.parked for beat in beats if beat.parked is not None]
        key = workflow_key(first.namespace, first.workflow_id)
        self._outbound.add(partition, key, value, answers)

    def _encode(self, partition: int, fields: codec.Fields) -> bytes:
        epoch, incarnation = self._node.origin(partition)
        origin = {
            "epoch": epoch,
            "incarnation": incarnation,
            "namespaces_position": self._namespaces.position,
            "asked_at": self._clock.now(),
        }
        fields["origin"] = ("millrace.Origin", origin)
        return codec.COMMAND.encode(fields)


class _Outbound:
    """What goes out at the end of this turn of the loop: one append per partition."""

    def __init__(self, commands: Producer, metrics: Metrics) -> None:
        self._commands = commands
        self._turn: dict[int, list[tuple[bytes, bytes, list[asyncio.Future[bytes]]]]] = {}
        self._flushes: set[asyncio.Task[None]] = set()
        self._records: Count = metrics.count(
            "millrace_streams_commands_total", "Commands appended to commands-internal."
        )
        self._appends: Count = metrics.count(
            "millrace_streams_command_appends_total", "Appends they were gathered into."
        )

    def add(
        self, partition: int, key: bytes, value: bytes, answers: list[asyncio.Future[bytes]]
    ) -> None:
        """Take a record along; its answers fail if it cannot be appended."""
        if not self._turn:
            task = asyncio.get_running_loop().create_task(self._flush())
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)
        self._turn.setdefault(partition, []).append((key, value, answers))

    async def _flush(self) -> None:
        turn, self._turn = self._turn, {}
        if len(turn) == 1:
            for partition, rows in turn.items():
                await self._append(partition, rows)
        else:
            await asyncio.gather(*(self._append(*each) for each in turn.items()))

    async def _append(
        self, partition: int, rows: list[tuple[bytes, bytes, list[asyncio.Future[bytes]]]]
    ) -> None:
        self._records.value += len(rows)
        self._appends.value += 1
        records = [(key, value) for key, value, _ in rows]
        try:
            appended = await self._commands.append(partition, records)
        except Unavailable as error:
            for _, _, answers in rows:
                _fail(answers, OutcomeUnknown(error.message))
            return
        for each, (_, _, answers) in zip(appended, rows, strict=True):
            if each.offset < 0:
                _fail(answers, OutcomeUnknown("expected a command to be appended, found it failed"))


def _fail(answers: list[asyncio.Future[bytes]], error: OutcomeUnknown) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)


async def _within(answer: asyncio.Future[bytes], time_left_s: float) -> bytes:
    """Await an answer for so long; afterwards nobody waits for it."""
    timer = answer.get_loop().call_later(time_left_s, _expire, answer)
    try:
        return await answer
    finally:
        timer.cancel()


def _expire(answer: asyncio.Future[bytes]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("deadline exceeded before an answer was accepted"))
