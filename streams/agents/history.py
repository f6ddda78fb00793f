"""The history agent: `commands` and `commands-internal` in batches to the history node.

It decides nothing: the L10 guard, the decisions and the claims are the node's
(`streams/log/node.py`).
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from streams.app import GroupApp, GroupSettings, OnCrash, build_app
from streams.faust_batches import Feed
from streams.log.ports import CommandBatch
from topology.topics import COMMANDS, COMMANDS_INTERNAL

ROLE: Final = "history"
TOPICS: Final = (COMMANDS.name, COMMANDS_INTERNAL.name)


class Node(Feed, Protocol):
    """What the agent needs of the history node."""

    def submit(self, batch: CommandBatch) -> None:
        """Take a batch; the guard of L10 is inside."""
        ...

    def assigned(self, actives: set[int], standbys: set[int], generation: int) -> None:
        """Take note of an assignment; inside the rebalance: only start and stop things."""
        ...


def build_history(
    settings: GroupSettings,
    node: Node,
    *,
    on_crash: OnCrash,
    warm: Callable[[], Iterable[int]] | None = None,
) -> GroupApp:
    """Build the history role's app; start it when the node is ready for assignments."""
    app = build_app(ROLE, settings, node, on_crash=on_crash, warm=warm)
    app.agent("history-decide", TOPICS, node.submit)
    app.on_assigned(COMMANDS.name, node.assigned)
    return app
