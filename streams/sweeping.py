"""Has the partitions of this node remove what they have of deleted namespaces.

Which namespaces are deleted, and which of them are not erased yet, `namespaces` says; what is left
of one in a partition, the partition's rows say. So nothing need be remembered, and whoever owns a
partition goes on with it.
"""

import asyncio
from typing import Final, NamedTuple, Protocol

import structlog

from schemas.errors import ServiceError
from schemas.temporal import enums
from streams.namespaces import Namespaces
from topology.decision import Ask, Namespace
from topology.namespace.sweep import read_swept
from topology.own_work import EndSweep, SweepNamespace

_log = structlog.get_logger(__name__)

_LOOK_S: Final = 0.5
_PAUSE_S: Final = 0.02
"""Between two steps, so that the partition has the most of its time for others."""
_STEP_COUNT: Final = 32
_DELETED: Final = enums.NamespaceState.NAMESPACE_STATE_DELETED


class Owned(Protocol):
    """The history partitions of this node."""

    @property
    def partitions(self) -> int:
        """How many there are, on all nodes."""
        ...

    def serves(self, partition: int) -> bool:
        """Whether a partition is claimed and served here."""
        ...

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide the owner's own work."""
        ...


class Deleted(NamedTuple):
    """A deleted namespace and the name whose partition decides about it."""

    namespace: Namespace
    home: str


class Sweeping:
    """The background work on deleted namespaces."""

    def __init__(self, namespaces: Namespaces, history: Owned) -> None:
        self._namespaces = namespaces
        self._history = history
        self._done: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Look for deleted namespaces, for ever."""
        while True:
            for deleted in self._deleted():
                for partition in range(self._history.partitions):
                    await self._try(deleted, partition)
            await asyncio.sleep(_LOOK_S)

    def _deleted(self) -> list[Deleted]:
        found = []
        for record in self._namespaces.records():
            namespace = self._namespaces.by_id(str(record["id"]))
            if record["state"] == _DELETED and namespace is not None:
                found.append(Deleted(namespace, str(record["home"])))
        return found

    async def _try(self, deleted: Deleted, partition: int) -> None:
        """Sweep a partition of ours, unless it is done; what fails is tried again later."""
        key = (deleted.namespace.id, partition)
        if key in self._done or not self._history.serves(partition):
            return
        try:
            await self._sweep(deleted, partition)
        except ServiceError as error:
            _log.info("sweep_later", namespace=key[0], partition=partition, error=error.message)
        else:
            self._done.add(key)

    async def _sweep(self, deleted: Deleted, partition: int) -> None:
        """Go through all runs until none is found that was not in flight at the first time."""
        await self._pass(deleted.namespace, partition)
        while await self._pass(deleted.namespace, partition):
            pass
        end = EndSweep(deleted.namespace.id, deleted.home, partition, self._history.partitions)
        await self._history.own_work(partition, Ask("EndSweep", deleted.namespace, "", end))
        _log.info("namespace_swept", namespace=deleted.namespace.id, partition=partition)

    async def _pass(self, namespace: Namespace, partition: int) -> int:
        """Remove what is found of a namespace; return how many runs that were."""
        after, count = b"", 0
        while True:
            step = SweepNamespace(namespace.id, after, _STEP_COUNT)
            ask = Ask("SweepNamespace", namespace, "", step)
            swept = read_swept(await self._history.own_work(partition, ask))
            count += swept.count
            after = swept.next_key
            if not after:
                return count
            await asyncio.sleep(_PAUSE_S)
