"""The broker: what all APIs share. One event loop owns it; there are no locks."""

import time

from infra.broker.files import Files
from infra.broker.settings import Settings
from infra.broker.store import Store
from infra.broker.topics import Topics
from infra.broker.upkeep import Upkeep

HOST = "127.0.0.1"
NODE_ID = 0
LEADER_EPOCH = 0


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

    def start(self) -> None:
        """Recover what is on disk and begin the background work; needs a running loop."""
        self.topics.open_all()
        self.upkeep.start()

    async def stop(self) -> None:
        """Flush and close everything."""
        await self.upkeep.stop()
        self.topics.close()
        self.store.close()
