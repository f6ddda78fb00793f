"""Everything the engine is given from outside, in one value; one for each node."""

from collections.abc import Callable
from typing import Protocol

from streams.log.clients import Outgoing
from streams.log.commands import Namespaces, Parse, ParseClient
from streams.log.folded import MachineFactory
from streams.log.outbox import Performer
from streams.log.ports import Admin, Clock, CommandTopics, Producer, Random, Readers, Store
from streams.log.settings import EngineSettings

HISTORY = "history"


class Owners(Protocol):
    """What the engine asks of the projection of `owners` (C1)."""

    def highest_epoch(self, role: str, partition: int) -> int:
        """Return the highest epoch in `owners`; 0: none."""
        ...

    async def claim_written(
        self, role: str, partition: int, epoch: int, incarnation: bytes
    ) -> None:
        """Write the entry of an accepted claim."""
        ...


class Replies(Protocol):
    """Sends replies to Kafka clients (L17)."""

    def send(self, outgoing: Outgoing) -> None:
        """Try to send a reply; nobody waits for it."""
        ...


class Outside:
    """The ports and settings of one node's engine."""

    def __init__(  # noqa: PLR0913  the one place where all of them meet
        self,
        *,
        partitions: int,
        events: Producer,
        commands: Producer,
        admin: Admin,
        readers: Readers,
        open_store: Callable[[int], Store],
        make_machine: MachineFactory,
        clock: Clock,
        random: Random,
        namespaces: Namespaces,
        owners: Owners,
        performer: Performer,
        replies: Replies,
        parse: Parse,
        parse_client: ParseClient,
        settings: EngineSettings,
        on_fault: Callable[[str], object],
    ) -> None:
        self.partitions = partitions
        self.events = events
        self.commands = commands
        """Appends to `commands-internal`: forwards (L16)."""
        self.admin = admin
        self.readers = readers
        self.open_store = open_store
        self.make_machine = make_machine
        self.clock = clock
        self.random = random
        self.namespaces = namespaces
        self.owners = owners
        self.performer = performer
        self.replies = replies
        self.parse = parse
        self.parse_client = parse_client
        self.settings = settings
        self.on_fault = on_fault
        self.topics: CommandTopics | None = None
        """Set once the group's consumer exists."""
