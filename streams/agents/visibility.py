"""The visibility agent: `events` in batches to the visibility node.

It decides nothing: which records count and what they say is the node's (`streams/visibility`).
"""

from typing import Final, Protocol

from streams.app import GroupApp, GroupSettings, OnCrash, build_app
from streams.faust_batches import Feed
from streams.log.ports import CommandBatch
from topology.topics import EVENTS

ROLE: Final = "visibility"
TOPICS: Final = (EVENTS.name,)


class Node(Feed, Protocol):
    """What the agent needs of the visibility node."""

    def submit(self, batch: CommandBatch) -> None:
        """Take a batch of claims and transitions."""
        ...

    def assigned(self, partitions: set[int], generation: int) -> None:
        """Take note of an assignment; inside the rebalance: only start and stop things."""
        ...


def build_visibility(settings: GroupSettings, node: Node, *, on_crash: OnCrash) -> GroupApp:
    """Build the visibility role's app; start it when the node is ready for assignments."""
    app = build_app(ROLE, settings, node, on_crash=on_crash)
    app.agent("visibility-index", TOPICS, node.submit)
    app.on_assigned(
        EVENTS.name, lambda actives, _standbys, generation: node.assigned(actives, generation)
    )
    return app
