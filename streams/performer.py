"""Performs effects: where each kind goes once its transition is accepted (L15).

Performing twice is harmless: matching knows its tasks by key, the highest version of a namespace
wins, a dead letter names the record it is about.
"""

from collections.abc import Awaitable
from typing import Protocol, assert_never

from schemas.codec import DEAD_LETTER, Fields
from schemas.errors import Unavailable
from streams.log.ports import Appended, Producer
from topology.effects import Effect, Forward, LetterDead, OfferTask, ProjectNamespace


class Offers(Protocol):
    """Takes tasks for workers; matching is the one implementation."""

    def offer(self, partition: int, task: OfferTask) -> Awaitable[None]:
        """Finish once the task is on `tasks` or answered by history (L18)."""
        ...


class Projections(Protocol):
    """Publishes versions of namespaces."""

    def project(self, record: Fields) -> Awaitable[None]:
        """Finish once the record is acknowledged on `namespaces`."""
        ...


class Performer:
    """Sends each effect of the partitions of this process to who carries it out."""

    def __init__(self, *, offers: Offers, projections: Projections, dead_letters: Producer) -> None:
        self._offers = offers
        self._projections = projections
        self._dead_letters = dead_letters

    def perform(self, partition: int, effect: Effect) -> Awaitable[None] | None:
        """Start performing an effect of a history partition; it is done when this finishes."""
        match effect:
            case OfferTask():
                return self._offers.offer(partition, effect)
            case ProjectNamespace():
                return self._projections.project(effect.record)
            case LetterDead():
                return self._bury(effect)
            case Forward():
                raise AssertionError("expected the engine to send forwards itself")
            case _:
                assert_never(effect)

    async def _bury(self, effect: LetterDead) -> None:
        value = DEAD_LETTER.encode(effect.record)
        key = effect.record["key"]
        assert key is None or isinstance(key, bytes), f"expected a key's bytes, found {key!r}"
        _check(await self._dead_letters.append(0, [(key, value)]))


def _check(appended: list[Appended]) -> None:
    if any(each.offset < 0 for each in appended):
        raise Unavailable("expected an acknowledgement, found the append failed")
