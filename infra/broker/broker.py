"""The broker: what all APIs share. One event loop owns it; there are no locks."""

import time

from infra.broker.cleaner import Cleaner
from infra.broker.coordinator import Groups
from infra.broker.files import Files
from infra.broker.offsets import CommittedOffsets
from infra.broker.settings import Settings
from infra.broker.store import Store
from infra.broker.topics import Topics
from infra.broker.transactions import Transactions
from infra.broker.upkeep import Upkeep

HOST = "127.0.0.1"
NODE_ID = 0
LEADER_EPOCH = 0
_TRANSACTION_TICK_S = 1.0


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


class Broker:
    """State and its keepers; made once the data folder is locked."""

    def __init__(self, settings: Settings, store: Store, files: Files) -> None:
        self.settings = settings
        self.store = store
        self.files = files
        self.port = 0
        self.topics = Topics(settings, store, files)
        self.upkeep = Upkeep(settings, store, files, self.topics)
        self.cleaner = Cleaner(store, self.topics, self.upkeep)
        self.offsets = CommittedOffsets(store)
        self.groups = Groups(store, self.offsets)
        self.transactions = Transactions(store, self.topics, self.offsets, self.upkeep)

    def start(self) -> None:
        """Recover what is on disk and begin the background work; needs a running loop."""
        self.topics.open_all()
        self.upkeep.start()
        self.groups.start()
        self.transactions.start(now_ms())
        self.upkeep.every(_TRANSACTION_TICK_S, self._tick_transactions)
        upkeep_interval = self.settings.upkeep_interval_ms / 1000
        self.upkeep.every(upkeep_interval, self._expire)
        self.upkeep.every(upkeep_interval, self._compact)

    async def _tick_transactions(self) -> None:
        self.transactions.tick(now_ms())

    async def _expire(self) -> None:
        """Forget what nobody used for long."""
        now = now_ms()
        self.groups.expire(now - self.settings.offsets_retention_ms)
        self.transactions.expire(now - self.settings.transactional_id_expiration_ms)
        for _, _, log in self.topics.all_logs():
            log.producers.forget_silent_since(now - self.settings.producer_expiration_ms)
        await self.cleaner.expire(now)

    async def _compact(self) -> None:
        await self.cleaner.compact(now_ms())

    async def stop(self) -> None:
        """Flush and close everything."""
        self.cleaner.stop()
        await self.upkeep.stop()
        self.topics.close()
        self.store.close()
