"""The seam between a transport and the frontend: calls come in, bytes or a ServiceError go out.

A transport is given a table {full method path: Method}. It awaits a unary handler for each call;
that the client gave up is the cancellation of the task that runs it. A `Stream` is there for the
two small services that need one (health watch, reflection). This file knows no transport.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Call(Protocol):
    """One call of a client."""

    @property
    def request(self) -> bytes:
        """The request message, decompressed."""
        ...

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The headers that came with it, keys in lower case."""
        ...

    @property
    def deadline(self) -> float | None:
        """The monotonic instant (s) at which the client gives up; None: never."""
        ...

    @property
    def peer(self) -> str:
        """The client's address, as text."""
        ...

    def tell(self, name: str, value: str) -> None:
        """Send something along with the answer, as trailing metadata."""
        ...


class Unary(NamedTuple):
    """One request, one response; a raised ServiceError becomes the call's status."""

    handler: Callable[[Call], Awaitable[bytes]]


class Stream(NamedTuple):
    """Requests in, responses out, as long as the client likes."""

    handler: Callable[[Call, AsyncIterator[bytes]], AsyncIterator[bytes]]


Method = Unary | Stream
Table = Mapping[str, Method]


class AddressUnusable(OSError):
    """The address to listen on is taken, not ours, or not allowed; the message is for people."""


class Transport(Protocol):
    """Listens, and hands over calls."""

    @property
    def address(self) -> str:
        """`host:port` it listens on, once started."""
        ...

    async def start(self) -> None:
        """Begin to listen; raises AddressUnusable."""
        ...

    async def stop(self, *, grace_s: float) -> None:
        """Take no further calls; what is still open after the grace is cancelled."""
        ...


TransportOf = Callable[[Table], Transport]
