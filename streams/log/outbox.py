"""Performs effects once their transition is accepted (L15).

Order holds for each destination, and destinations go on independently. Forwards have lines of
their own (`forwarding.py`). Effects of one other destination
are begun in order without waiting for one another; when one fails, those behind it are held back
until it is done. `performed` is the seq up to which all are done; what is above it is performed
again by a new owner, so everything is at least once here and exactly once at its receiver.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final, Protocol, assert_never

import structlog

from schemas.errors import ServiceError
from streams.log.forwarding import Forwarding
from streams.log.ports import Random
from topology.effects import Effect, Forward, LetterDead, OfferTask, ProjectNamespace

_log = structlog.get_logger(__name__)

_BEGUN_MAX: Final = 1_000
_DELAY_MIN_S: Final = 0.05
_DELAY_MAX_S: Final = 10.0


class Performer(Protocol):
    """Carries effects out."""

    def perform(self, partition: int, effect: Effect) -> Awaitable[None] | None:
        """Begin to perform an effect; it is done when what is returned finishes. None: done."""
        ...


def destination(effect: Effect) -> Hashable:
    """Return where an effect goes: order is kept within one destination."""
    match effect:
        case OfferTask():
            return ("task", effect.namespace_id, effect.queue, effect.kind)
        case ProjectNamespace():
            return ("namespace", effect.record.get("id"))
        case LetterDead():
            return "dead letter"
        case Forward():
            raise AssertionError("expected forwards to have lines of their own")
        case _:
            assert_never(effect)


class _Line:
    """What goes to one destination, in order."""

    __slots__ = ("begun", "delay_s", "failed", "name", "retry", "waiting")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.waiting: deque[tuple[int, Effect]] = deque()
        self.begun: dict[asyncio.Future[Any], tuple[int, Effect]] = {}
        self.failed: list[tuple[int, Effect]] = []
        self.delay_s = 0.0
        self.retry: asyncio.TimerHandle | None = None


class Outbox:
    """The effects of one partition that are yet to be performed."""

    def __init__(
        self,
        partition: int,
        performer: Performer,
        random: Random,
        *,
        forwarding: Forwarding,
        wake: Callable[[], object],
    ) -> None:
        self._partition = partition
        self._performer = performer
        self._random = random
        self._forwarding = forwarding
        self._wake = wake
        self._lines: dict[Hashable, _Line] = {}
        self._left: dict[int, int] = {}
        self._order: deque[int] = deque()
        self._done: list[int] = []
        self._accepted = 0

    def add(self, seq: int, effects: Sequence[Effect]) -> None:
        """Perform the effects of an accepted transition."""
        self._left[seq] = len(effects)
        self._order.append(seq)
        for effect in effects:
            if isinstance(effect, Forward):
                self._forwarding.add(seq, effect, self._finish)
                continue
            name = destination(effect)
            line = self._lines.get(name)
            if line is None:
                line = self._lines[name] = _Line(name)
            line.waiting.append((seq, effect))
            self._begin(line)

    def accepted(self, seq: int) -> None:
        """Take note that records up to a seq are accepted and their effects added."""
        self._accepted = seq

    def performed(self) -> int:
        """Return the seq up to which all effects are done."""
        order, left = self._order, self._left
        while order and order[0] not in left:
            order.popleft()
        return order[0] - 1 if order else self._accepted

    def take_done(self) -> list[int]:
        """Return the seqs whose effects were all done since this was asked last."""
        done, self._done = self._done, []
        return done

    def is_empty(self) -> bool:
        """Whether everything is performed."""
        return not self._left

    def stop(self) -> None:
        """Stop performing; a later owner performs what is left again."""
        lines, self._lines = self._lines, {}
        self._forwarding.stop()
        self._left.clear()
        self._order.clear()
        self._done.clear()
        for line in lines.values():
            if line.retry is not None:
                line.retry.cancel()
            begun, line.begun = line.begun, {}
            line.waiting.clear()
            for future in begun:
                future.cancel()

    # -- one destination

    def _begin(self, line: _Line) -> None:
        """Begin what may begin, in order."""
        while (
            line.waiting and line.retry is None and not line.failed and len(line.begun) < _BEGUN_MAX
        ):
            seq, effect = line.waiting.popleft()
            begun = self._performer.perform(self._partition, effect)
            if begun is None:
                self._finish(seq)
                continue
            future = asyncio.ensure_future(begun)
            line.begun[future] = (seq, effect)
            future.add_done_callback(partial(self._ended, line))
        if not line.waiting and not line.begun and line.retry is None and not line.failed:
            self._lines.pop(line.name, None)

    def _ended(self, line: _Line, future: asyncio.Future[Any]) -> None:
        performed = line.begun.pop(future, None)
        if performed is None:  # stopped meanwhile
            if not future.cancelled():
                future.exception()
            return
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            line.delay_s = 0.0
            self._finish(performed[0])
        else:
            self._note(line, performed, error)
        if line.failed and not line.begun:
            self._retry_later(line)
        self._begin(line)

    def _note(self, line: _Line, failed: tuple[int, Effect], error: BaseException) -> None:
        line.failed.append(failed)
        tell = _log.warning if isinstance(error, ServiceError) else _log.error
        tell(
            "effect_failed",
            partition=self._partition,
            seq=failed[0],
            effect=type(failed[1]).__name__,
            error=repr(error),
        )

    def _retry_later(self, line: _Line) -> None:
        """Go on from the first that failed, once all that were begun have ended."""
        line.failed.sort(key=lambda each: each[0])
        line.waiting.extendleft(reversed(line.failed))
        line.failed.clear()
        line.delay_s = min(max(line.delay_s * 2, _DELAY_MIN_S), _DELAY_MAX_S)
        delay = line.delay_s * (0.5 + self._random.fraction() / 2)
        line.retry = asyncio.get_running_loop().call_later(delay, self._retry, line)

    def _retry(self, line: _Line) -> None:
        line.retry = None
        self._begin(line)

    def _finish(self, seq: int) -> None:
        left = self._left.get(seq)
        if left is None:
            return
        if left > 1:
            self._left[seq] = left - 1
            return
        del self._left[seq]
        self._done.append(seq)
        self._wake()
