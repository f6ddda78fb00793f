"""What ties a node to the other nodes, put together: internal port, connections, forwarding.

Made before the roles, because their claims name the internal address; nothing is served before
`open`. Nothing is decided here.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from infra.settings import NodeSettings
from streams.calls.absent import NoMatching
from streams.calls.forward import Forward, Home, Place
from streams.calls.gone import Gone
from streams.calls.owners import Owners
from streams.calls.peers import Peers
from streams.calls.roles import History, RoleCalls, served
from streams.calls.watching import Watching
from streams.frontend.internal import InternalPort, served_to_nodes
from streams.frontend.node_transport import NodeTransport
from streams.frontend.routes import Routes
from streams.frontend.routing import Ways, routed
from streams.frontend.rpcs import WORKFLOW_SERVICE, Function
from streams.frontend.services import Services
from streams.log.ports import Clock, Random
from streams.metrics import Metrics
from streams.namespaces import Namespaces
from topology.topics import PartitionCounts


async def listening(node: NodeSettings, stack: AsyncExitStack) -> tuple[InternalPort, str]:
    """Return the internal port and the address that other nodes shall call."""
    transport = partial(NodeTransport, host=node.internal_ip, port=node.internal_port)
    port = InternalPort(transport)
    await port.start()
    stack.push_async_callback(port.stop)
    return port, node.internal_address or port.address


class Links:
    """The ways from this node to others."""

    def __init__(  # noqa: PLR0913  the place where they meet
        self,
        owners: Owners,
        home: str,
        history: History,
        counts: PartitionCounts,
        *,
        epoch: Callable[[Place], int],
        evict: Callable[[str, str], Awaitable[None]],
        clock: Clock,
        random: Random,
        metrics: Metrics,
        stack: AsyncExitStack,
    ) -> None:
        """`home` is our own address; `history` has the partitions that are here."""
        peers = Peers()
        gone = Gone(owners, evict, forget=peers.forget)
        stack.push_async_callback(peers.stop)
        stack.callback(gone.stop)
        self.forward = Forward(
            owners,
            peers,
            Home(home, epoch),
            clock=clock,
            random=random,
            metrics=metrics,
            suspect=gone.suspect,
        )
        self.roles = RoleCalls(
            self.forward, history, NoMatching(), matching_partitions=counts.matching
        )
        self._watching = Watching(owners, home, gone.suspect)
        stack.callback(self._watching.stop)
        self._history = history
        self._counts = counts

    def functions(self, namespaces: Namespaces) -> Mapping[str, Function]:
        """Return the functions of all RPCs, each at its owner."""
        ways = Ways(Routes(namespaces, self._counts), self.forward, self.roles)
        return routed(WORKFLOW_SERVICE, ways)

    def open(self, port: InternalPort, services: Services) -> None:
        """Serve other nodes, and see when one is gone."""
        self._watching.start()
        role_calls = served(self._history, self.roles.matching)
        port.open(served_to_nodes(WORKFLOW_SERVICE, services, role_calls))
