"""One append of a partition in flight, and whether it counts (L4).

Expected offsets are fixed when the records are handed over. Each acknowledgement is looked at by
itself: a failed record and a zombie's could cancel out in a sum.
"""

import asyncio
from collections.abc import Callable, Sequence

from schemas.errors import ServiceError
from streams.log.ports import Appended, Producer

KeyValue = tuple[bytes | None, bytes | None]


class Flight:
    """Records on their way; the task is never cancelled, so that a takeover can wait for it."""

    def __init__(self, producer: Producer, partition: int, records: list[KeyValue]) -> None:
        self.count = len(records)
        self.task = asyncio.ensure_future(producer.append(partition, records))
        self.is_late = False

    async def wait(self, timeout_s: float) -> None:
        """Wait for the outcome, so long."""
        await asyncio.wait({self.task}, timeout=timeout_s)
        self.is_late = not self.task.done()

    def settle(self, timeout_s: float, wake: Callable[[], object]) -> None:
        """Call `wake` once when the outcome is known, or will not be waited for any more."""
        late = asyncio.get_running_loop().call_later(timeout_s, self._give_up, wake)

        def arrived(_task: object) -> None:
            late.cancel()
            wake()

        self.task.add_done_callback(arrived)

    def _give_up(self, wake: Callable[[], object]) -> None:
        self.is_late = not self.task.done()
        wake()

    def is_settled(self) -> bool:
        """Whether its outcome is known, or will not be waited for any more."""
        return self.is_late or self.task.done()

    def acknowledgements(self) -> list[Appended]:
        """Return the acknowledgements; none when it is late or was not handed over at all."""
        if self.is_late or self.task.cancelled():
            return []
        error = self.task.exception()
        if error is None:
            return self.task.result()
        if not isinstance(error, ServiceError):
            raise error
        return []


def is_contiguous(acknowledgements: Sequence[Appended], base: int, count: int) -> bool:
    """Whether every record of an append stands where it was expected."""
    return [each.offset for each in acknowledgements] == list(range(base, base + count))
