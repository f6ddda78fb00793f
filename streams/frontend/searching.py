"""What an operator asks of the search of a node: its lag, and an index built anew.

A gRPC service of ours beside Temporal's two, for `millrace search`; requests are empty, answers
JSON. A rebuild goes on when nobody asks for its progress any more.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from schemas.errors import Unavailable
from streams.frontend.services import Services
from streams.frontend.transport import Call
from streams.search import PartitionLag, Search
from streams.visibility.rebuild import Progress

SERVICE: Final = "/millrace.search.v1.Search/"
LAG: Final = "Lag"
REBUILD: Final = "Rebuild"
PROGRESS: Final = "Progress"

_encode = msgspec.json.Encoder().encode


class LagAnswer(msgspec.Struct, frozen=True):
    """How far the index of the node that was asked is behind."""

    partitions: Sequence[PartitionLag]
    count: int
    """Transitions that are not in the index, all together."""


async def lag(services: Services, _: Call) -> bytes:
    """Say how far the index is behind what was accepted."""
    partitions = await _search(services).lag()
    return _encode(LagAnswer(partitions, sum(each.count for each in partitions)))


async def rebuild(services: Services, _: Call) -> bytes:
    """Begin to build the index anew."""
    return _encode(_search(services).rebuild())


async def progress(services: Services, _: Call) -> bytes:
    """Say how far the newest rebuild is."""
    return _encode(_search(services).progress or Progress(phase="none"))


FUNCTIONS: Final[Mapping[str, Callable[[Services, Call], Awaitable[bytes]]]] = {
    LAG: lag,
    REBUILD: rebuild,
    PROGRESS: progress,
}
"""What is served, by method."""


def _search(services: Services) -> Search:
    if services.search is None:
        raise Unavailable("this node has no search store")
    return services.search
