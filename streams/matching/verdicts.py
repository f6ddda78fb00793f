"""What history says: whether a task is started for a poll (M1), and taking it back (M2).

An ask whose outcome is unknown is repeated under the same poll id, so history answers it as the
first time. This file does not touch queues.
"""

import asyncio
from enum import Enum

import structlog

from schemas.errors import (
    Internal,
    NotTheOwner,
    Rejected,
    ResourceExhausted,
    ServiceError,
    Stale,
    Unavailable,
)
from streams.matching.ports import Starter
from streams.matching.settings import MatchingSettings
from streams.matching.waiting import Waiting
from topology.matching.tasks import Poll, Task, hand_back_ask, start_ask, sticky_dead_ask

_log = structlog.get_logger(__name__)


class Verdict(Enum):
    """What came of it, where it was not an answer."""

    OBSOLETE = "the task is gone, or started for another poll"
    NOT_STARTED = "history could not be asked"
    NOBODY = "the poll was gone before history was asked"


class Verdicts:
    """Asks history."""

    def __init__(self, starter: Starter, settings: MatchingSettings) -> None:
        self._starter = starter
        self._settings = settings

    async def ask(self, task: Task, waiting: Waiting) -> bytes | Verdict:
        """Have a task started for a poll; return the poll's answer or what else it was."""
        if waiting.is_gone:
            return Verdict.NOBODY
        ask = start_ask(task, waiting.poll)
        failures = 0
        waited_s = 0.0
        while True:
            try:
                return await self._starter.own_work(task.partition, ask)
            except (NotTheOwner, Internal, ResourceExhausted) as error:
                _log.info("task_not_started", key=task.key, reason=str(error))
                if not failures:
                    return Verdict.NOT_STARTED
            except Rejected:
                return Verdict.OBSOLETE
            except Unavailable as error:
                _log.info("task_start_unknown", key=task.key, reason=str(error))
            failures += 1
            delay_s = self._settings.retry_delay_s(failures)
            if waited_s + delay_s > self._settings.uncertain_timeout_s:
                return Verdict.NOT_STARTED
            waited_s += delay_s
            await asyncio.sleep(delay_s)

    async def leave_sticky(self, task: Task) -> bool:
        """Tell history that a task's sticky queue is dead (M3); False: it does not know yet."""
        try:
            await self._starter.own_work(task.partition, sticky_dead_ask(task))
        except Stale:
            return True
        except ServiceError as error:
            _log.info("sticky_queue_not_left", key=task.key, reason=str(error))
            return False
        return True

    async def hand_back(self, task: Task, poll: Poll) -> None:
        """Tell history that the poll of a started task is gone; it decides what that means."""
        ask = hand_back_ask(task, poll)
        waited_s = 0.0
        failures = 0
        while True:
            try:
                await self._starter.own_work(task.partition, ask)
            except Stale:
                return
            except ServiceError as error:
                _log.info("task_not_handed_back", key=task.key, reason=str(error))
            else:
                return
            failures += 1
            delay_s = self._settings.retry_delay_s(failures)
            waited_s += delay_s
            if waited_s > self._settings.uncertain_timeout_s:
                return  # its timeouts decide
            await asyncio.sleep(delay_s)
