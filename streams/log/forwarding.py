"""Sends forwards to other partitions, and to our own: strictly in order, one append in flight.

A receiver takes only the forward behind the last one it took (L16). So an append is done up to its
first failure and no further: what lies behind is sent again, acknowledged or not. A zombie's late
append is harmless, the receiver has counted past it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from schemas.codec import COMMAND
from schemas.errors import ServiceError
from schemas.ids import workflow_key
from streams.log.ports import Producer, Random
from topology.effects import Forward, Quote

_log = structlog.get_logger(__name__)

_APPEND_MAX: Final = 256
_APPEND_BYTES_MAX: Final = 8 << 20
_DELAY_MIN_S: Final = 0.05
_DELAY_MAX_S: Final = 10.0

KeyValue = tuple[bytes | None, bytes | None]
Quoted = Callable[[Sequence[Quote]], list[bytes]]


class _Line:
    """What goes to one receiver, in order."""

    __slots__ = ("receiver", "task", "waiting")

    def __init__(self, receiver: int) -> None:
        self.receiver = receiver
        self.waiting: deque[tuple[int, Forward]] = deque()
        self.task: asyncio.Task[None] | None = None


class Forwarding:
    """The forwards of one partition that are yet to be sent."""

    def __init__(self, sender: str, commands: Producer, random: Random, *, quoted: Quoted) -> None:
        """`sender` is our name; `quoted` reads events from the stored rows."""
        self._sender = sender
        self._commands = commands
        self._random = random
        self._quoted = quoted
        self._lines: dict[int, _Line] = {}

    def add(self, seq: int, forward: Forward, finish: Callable[[int], None]) -> None:
        """Send a forward of an accepted transition; `finish` hears its seq when it is done."""
        line = self._lines.get(forward.receiver)
        if line is None:
            line = self._lines[forward.receiver] = _Line(forward.receiver)
        line.waiting.append((seq, forward))
        if line.task is None:
            line.task = asyncio.create_task(self._send(line, finish))

    def stop(self) -> None:
        """Stop sending; a later owner sends what is left again."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            if line.task is not None:
                line.task.cancel()

    async def _send(self, line: _Line, finish: Callable[[int], None]) -> None:
        delay_s = 0.0
        while line.waiting:
            count, is_whole = await self._append(line)
            for _ in range(count):
                finish(line.waiting.popleft()[0])
            if is_whole:
                delay_s = 0.0
            else:
                delay_s = min(max(delay_s * 2, _DELAY_MIN_S), _DELAY_MAX_S)
                await asyncio.sleep(delay_s * (0.5 + self._random.fraction() / 2))
        if self._lines.get(line.receiver) is line:
            del self._lines[line.receiver]

    async def _append(self, line: _Line) -> tuple[int, bool]:
        """Append what waits; return how many are done, and whether all that were sent are."""
        try:
            records = self._records(line)
            appended = await self._commands.append(line.receiver, records)
        except ServiceError as error:
            _log.warning("forwards_failed", receiver=line.receiver, error=repr(error))
            return 0, False
        except Exception:  # noqa: BLE001  the loop that owns this line: told, and tried again
            _log.exception("forwards_failed", receiver=line.receiver)
            return 0, False
        done = 0
        for each in appended:
            if each.offset < 0:
                _log.warning("forwards_failed", receiver=line.receiver, count=len(appended) - done)
                break
            done += 1
        return done, done == len(records)

    def _records(self, line: _Line) -> list[KeyValue]:
        """Return the first of what waits as records."""
        count = min(len(line.waiting), _APPEND_MAX)
        first = [line.waiting[index][1] for index in range(count)]
        events = iter(self._quoted([each.quote for each in first if each.quote is not None]))
        records: list[KeyValue] = []
        size_bytes = 0
        for forward in first:
            event = b"" if forward.quote is None else next(events)
            record = self._record(forward, event)
            size_bytes += len(record[1] or b"")
            if records and size_bytes > _APPEND_BYTES_MAX:
                break
            records.append(record)
        return records

    def _record(self, forward: Forward, event: bytes) -> KeyValue:
        body = {
            "sender": self._sender,
            "counter": forward.counter,
            "method": forward.method,
            "request": forward.request,
            "event": event,
        }
        value = COMMAND.encode(
            {
                "command_id": b"",
                "namespace": forward.namespace,
                "workflow_id": forward.workflow_id,
                "body": ("millrace.Forward", body),
            }
        )
        return workflow_key(forward.namespace, forward.workflow_id), value
