"""History and matching of a node: made, joined to their groups, and left in a planned stop.

Nothing is decided here.
"""

import asyncio
from functools import partial
from typing import Final

import msgspec

from infra.archiving import offered
from infra.counts import show_counts
from infra.ground import HISTORY, MATCHING, Ground
from streams.agents.history import build_history
from streams.agents.matching import build_matching
from streams.app import GroupApp
from streams.attributes import SearchAttributes
from streams.calls.absent import NoHistory
from streams.calls.forward import Place
from streams.calls.owners import Owners
from streams.calls.roles import RoleCalls
from streams.kafka.producer import Producers
from streams.kafka.readers import KafkaReaders
from streams.log.node import HistoryNode
from streams.log.outside import Outside
from streams.log.partition import Scanned
from streams.matching.node import MatchingNode
from streams.matching.ports import MatchingPorts
from streams.namespaces import Namespaces
from streams.performer import Performer
from streams.queries import Queries
from streams.replies import Replies
from streams.sweeping import Sweeping
from streams.warmth import rejoin_when_warm
from topology.core import Core
from topology.decision import Ask
from topology.requests import parse
from topology.typed_commands import request_of

_REPLIES_TIMEOUT_S: Final = 2.0


class Roles:
    """The roles that own partitions."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._apps: dict[str, GroupApp] = {}
        self._looking: tuple[asyncio.Task[None], ...] = ()
        self.history = LocalHistory(ground.settings.kafka.counts.history)
        self.matching: MatchingNode | None = None

    def member_id(self, role: str) -> str:
        """Return our id in the group of a role; empty before the join."""
        return self._apps[role].member_id if role in self._apps else ""

    def epoch(self, place: Place) -> int:
        """Return the epoch of our own claim; matching's stand in `owners` at once."""
        history = self.history.node
        if place.role == HISTORY and isinstance(history, HistoryNode):
            return history.epoch(place.partition)
        return 0

    async def evict(self, role: str, member_id: str) -> None:
        """Leave a group for a member whose process is gone (V6)."""
        if role in self._apps:
            await self._apps[role].evict(member_id)

    # -- making

    def make(
        self,
        producers: Producers,
        owners: Owners,
        namespaces: Namespaces,
        calls: RoleCalls,
        *,
        address: str,
    ) -> None:
        """Make history and matching, each of which needs the other; `address` is for other nodes.

        Offers of a history node without matching are appended by a matching node that owns nothing.
        """
        ground = self._ground
        if not (ground.has(HISTORY) or ground.has(MATCHING)):
            return
        ports = MatchingPorts(
            starter=calls,
            tasks=producers.tasks,
            admin=ground.admin,
            stores=ground.stores(MATCHING).open,
            claims=owners,
            clock=ground.clock,
            is_deleted=namespaces.is_deleted,
        )
        partitions = ground.settings.kafka.counts.matching
        wanted = msgspec.structs.replace(ground.settings.matching, partitions=partitions)
        matching = self.matching = MatchingNode(ports, wanted)
        if ground.has(MATCHING):
            calls.matching = matching
        if ground.has(HISTORY):
            performer = Performer(
                offers=matching, projections=namespaces, dead_letters=producers.dead_letters
            )
            self.history.node = self._made_history(
                producers, owners, namespaces, performer, address=address
            )
            show_counts(ground.metrics, self.history.node, matching)

    def _made_history(
        self,
        producers: Producers,
        owners: Owners,
        namespaces: Namespaces,
        performer: Performer,
        *,
        address: str,
    ) -> HistoryNode:
        ground = self._ground
        settings = ground.settings
        replies = Replies(producers.reply, ground.metrics)
        ground.stack.push_async_callback(replies.finish, timeout_s=_REPLIES_TIMEOUT_S)
        readers = KafkaReaders(ground.kafka, on_crash=ground.crashed("a reader of events"))
        ground.stack.callback(readers.stop)
        return HistoryNode(
            Outside(
                partitions=settings.kafka.counts.history,
                events=producers.events,
                commands=producers.commands_internal,
                admin=ground.admin,
                readers=readers,
                open_store=ground.stores(HISTORY).open,
                make_machine=partial(
                    Core,
                    limits=settings.core,
                    attributes=SearchAttributes(),
                    archivals=offered(ground.archival),
                ),
                clock=ground.clock,
                random=ground.random,
                namespaces=namespaces,
                owners=owners,
                performer=performer,
                replies=replies,
                parse=parse,
                parse_client=request_of,
                settings=msgspec.structs.replace(
                    settings.engine, node=ground.name, address=address
                ),
                on_fault=ground.on_failure,
            )
        )

    # -- the groups

    async def join(self) -> None:
        """Join the groups of the roles; returns with the first assignments."""
        ground, history, matching = self._ground, self.history.node, self.matching
        if isinstance(history, HistoryNode):
            crashed = ground.crashed("the history group")
            app = build_history(ground.group(HISTORY), history, on_crash=crashed, warm=history.warm)
            self._apps[HISTORY] = app
            history.read_commands_through(app)
            await history.start()
            self._looking += (asyncio.ensure_future(rejoin_when_warm(app, history.warm)),)
        if matching is not None and ground.has(MATCHING):
            crashed = ground.crashed("the matching group")
            app = build_matching(ground.group(MATCHING), matching, on_crash=crashed)
            self._apps[MATCHING] = matching.topic = app
            matching.failed.add_done_callback(self._matching_failed)
            await matching.start()
        ground.stack.push_async_callback(self._leave)
        for app in self._apps.values():
            app.watch(ground.admin.stable_end)
        await asyncio.gather(*(app.start() for app in self._apps.values()))

    def sweep(self, namespaces: Namespaces) -> None:
        """Begin to remove what there is of deleted namespaces."""
        if isinstance(self.history.node, HistoryNode):
            task = asyncio.ensure_future(Sweeping(namespaces, self.history.node).run())
            task.add_done_callback(self._sweeping_ended)
            self._looking += (task,)

    def _sweeping_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ground.crashed("the sweeping of deleted namespaces")(error)

    async def _leave(self) -> None:
        """Decide and answer what was appended, and leave the groups (C7)."""
        for task in self._looking:
            task.cancel()
        if self.matching is not None:
            await self.matching.stop()
        await asyncio.gather(self._leave_history(), self._leave_group(MATCHING))

    async def _leave_history(self) -> None:
        if isinstance(self.history.node, HistoryNode):
            await self.history.node.stop()
        await self._leave_group(HISTORY)

    async def _leave_group(self, role: str) -> None:
        if role in self._apps:
            await self._apps[role].stop()

    def _matching_failed(self, failed: "asyncio.Future[None]") -> None:
        if not failed.cancelled() and (error := failed.exception()) is not None:
            self._ground.crashed("matching")(error)


class LocalHistory:
    """The history partitions of this node as others see them; set once they are made."""

    def __init__(self, partitions: int) -> None:
        self.node: HistoryNode | NoHistory = NoHistory(partitions)
        self.queries: Queries  # set once both roles are made

    async def own_work(self, partition: int, ask: Ask) -> bytes:
        """Decide; see `HistoryNode.own_work`."""
        return self.queries.carried(ask, await self.node.own_work(partition, ask))

    async def read(self, partition: int, method: str, request: object, namespace_id: str) -> bytes:
        """Read accepted state (R1)."""
        return await self.node.read(partition, method, request, namespace_id)

    async def scan(self, partition: int, after: str, limit: int) -> Scanned:
        """Return runs and their position; see `HistoryNode.scan`."""
        return await self.node.scan(partition, after, limit)
