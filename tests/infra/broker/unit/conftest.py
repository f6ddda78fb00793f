"""Logs in temporary folders, on a disk that a test can fill."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.broker.configs import log_config
from infra.broker.files import Files
from infra.broker.log import PartitionLog
from infra.broker.recovery import recover
from infra.broker.tail import Tail, TailBudget
from infra.broker.wire import Buffer

OpenLog = Callable[..., PartitionLog]


class SmallDisk(Files):
    """A disk with room for so many bytes more; None is plenty."""

    def __init__(self) -> None:
        self.room: int | None = None

    def write(self, descriptor: int, buffer: Buffer, position: int) -> int:
        """Write what fits."""
        if self.room is None:
            return super().write(descriptor, buffer, position)
        if self.room == 0:
            raise OSError(28, "No space left on device")
        count = super().write(descriptor, memoryview(buffer)[: self.room], position)
        self.room -= count
        return count


@pytest.fixture
def disk() -> SmallDisk:
    """Return the disk of the logs."""
    return SmallDisk()


@pytest.fixture
def open_log(tmp_path: Path, disk: SmallDisk) -> OpenLog:
    """Return a function that opens the log, again and again; `cached=False` reads files only."""

    def opened(*, cached: bool = True, **config: int | bool) -> PartitionLog:
        defaults = replace(log_config({}, {}), **config)
        tail = Tail(TailBudget(1 << 20 if cached else 0))
        log = PartitionLog(tmp_path / "log", defaults, disk, tail)
        recover(log)
        return log

    return opened
