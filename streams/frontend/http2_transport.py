"""The transport on our own gRPC layer over `h2`: calls of one socket read come together.

Listens, keeps the connections and ends them; `http2/` is one connection. It knows no RPC.
"""

import asyncio

from streams.frontend.http2.connection import Connection
from streams.frontend.listening import check_free, listen, shown
from streams.frontend.settings import FrontendSettings
from streams.frontend.transport import Table


class Http2Transport:
    """A gRPC server for a table of methods; implements `streams.frontend.transport.Transport`."""

    def __init__(self, table: Table, *, host: str, port: int, settings: FrontendSettings) -> None:
        self._table = table
        self._host = host
        self._port = port
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None

    @property
    def address(self) -> str:
        """`host:port` it listens on; before `start`, the one it will ask for."""
        return shown(self._host, self._port)

    async def start(self) -> None:
        """Begin to listen; raises AddressUnusable."""
        check_free(self._host, self._port)
        self._server, self._port = await listen(self._connection, self._host, self._port)

    async def stop(self, *, grace_s: float) -> None:
        """Take no further connections, tell clients to go; what is open then is cut off."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.leave()
        if not await self._left(grace_s):
            for connection in list(self._connections):
                connection.cut()
            await self._left(_CLOSING_TIMEOUT_S)

    async def _left(self, timeout_s: float) -> bool:
        """Wait until every connection is gone; False: the time was up first."""
        if self._connections:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._emptied], timeout=timeout_s)
        return not self._connections

    def _connection(self) -> Connection:
        return Connection(self._table, self._settings, self)

    def on_made(self, connection: Connection) -> None:
        """Take note of a connection."""
        self._connections.add(connection)

    def on_lost(self, connection: Connection) -> None:
        """Forget one."""
        self._connections.discard(connection)
        if not self._connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)


_CLOSING_TIMEOUT_S = 1.0
