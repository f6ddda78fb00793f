"""The matching agent: `tasks` in batches to the matching node.

It decides nothing: what a task or a tombstone means is the node's (`streams/matching`). Matching
has no log of its own to fold, so every partition is warm everywhere and standbys do nothing.
"""

from typing import Final, Protocol

from streams.app import GroupApp, GroupSettings, OnCrash, build_app
from streams.faust_batches import Feed
from streams.log.ports import CommandBatch
from topology.topics import TASKS

ROLE: Final = "matching"
TOPICS: Final = (TASKS.name,)


class Node(Feed, Protocol):
    """What the agent needs of the matching node."""

    def submit(self, batch: CommandBatch) -> None:
        """Take a batch of tasks and tombstones."""
        ...

    def assigned(self, partitions: set[int], generation: int) -> None:
        """Take note of an assignment; inside the rebalance: only start and stop things."""
        ...


def build_matching(settings: GroupSettings, node: Node, *, on_crash: OnCrash) -> GroupApp:
    """Build the matching role's app; start it when the node is ready for assignments."""
    app = build_app(ROLE, settings, node, on_crash=on_crash)
    app.agent("matching-offer", TOPICS, node.submit)
    app.on_assigned(
        TASKS.name, lambda actives, _standbys, generation: node.assigned(actives, generation)
    )
    return app
