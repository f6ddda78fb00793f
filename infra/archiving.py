"""The archives of a node and the agent that fills them, made and started.

A folder beside the data is the archive of who installs nothing. Where several nodes share a Kafka,
each would have a folder of its own and not see the others': there is no default, URIs are given.
"""

import asyncio

from archival.settings import ArchivalSettings
from infra.ground import Ground
from streams.agents.archival import ROLE, build_archival
from streams.archival.archives import Archives
from streams.archival.away import Away
from streams.archival.backlog import Owners
from streams.archival.batch import Batches
from streams.archival.node import ArchivalNode
from streams.calls.roles import RoleCalls
from streams.namespaces import Namespaces
from topology.namespace.archival import DISABLED, ENABLED, Archivals, Offered


def offered(settings: ArchivalSettings) -> Archivals:
    """Return what namespaces are offered."""
    state = ENABLED if settings.namespace_state == "enabled" else DISABLED
    is_configured = settings.state != "disabled"
    return Archivals(
        Offered(is_configured, state, settings.history_uri),
        Offered(is_configured, state, settings.visibility_uri),
    )


def start_archiving(
    ground: Ground, archives: Archives, calls: RoleCalls, namespaces: Namespaces
) -> None:
    """Begin to archive what waits at the owners; the group is joined meanwhile."""
    owners = Owners(calls)
    away = Away(ground.clock, ground.random, longest_s=ground.archival.retry_s)
    batches = Batches(owners, archives, away)
    node = ArchivalNode(owners, batches, namespaces, ground.archival, away=away, admin=ground.admin)
    node.counts.show(ground.metrics)
    on_crash = ground.crashed("the archival agent")
    app = build_archival(ground.group(ROLE), node, on_crash=on_crash)
    node.topic = app

    def ended(done: "asyncio.Future[None]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            on_crash(error)

    async def stopped() -> None:
        joining.cancel()
        await app.stop()
        await node.stop()

    joining = asyncio.ensure_future(app.start())
    joining.add_done_callback(ended)
    node.failed.add_done_callback(ended)
    ground.stack.push_async_callback(stopped)
