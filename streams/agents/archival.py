"""The archival agent: tells the archival node when something happens, and which partitions are its.

It decides nothing: what is to be archived the owners know (`streams/archival`).
"""

from typing import Final, Protocol

from streams.app import GroupApp, GroupSettings, OnCrash, build_app
from streams.faust_batches import Feed
from streams.log.ports import CommandBatch
from topology.topics import EVENTS

ROLE: Final = "archival"
TOPICS: Final = (EVENTS.name,)


class Node(Feed, Protocol):
    """What the agent needs of the archival node."""

    def submit(self, batch: CommandBatch) -> None:
        """Hear that something happened in a partition."""
        ...

    def assigned(self, partitions: set[int], generation: int) -> None:
        """Take note of an assignment; inside the rebalance: only start and stop things."""
        ...


def build_archival(settings: GroupSettings, node: Node, *, on_crash: OnCrash) -> GroupApp:
    """Build the archival role's app; start it when the owners can be asked."""
    app = build_app(ROLE, settings, node, on_crash=on_crash)
    app.agent("archiver", TOPICS, node.submit)
    app.on_assigned(
        EVENTS.name, lambda actives, _standbys, generation: node.assigned(actives, generation)
    )
    return app
