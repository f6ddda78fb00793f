"""Calls to other nodes: one connection a node, any number of calls on it (C2).

A connection with open calls is pinged every 2 s, since a stopped process keeps its connections. A
lost one fails its calls: their outcome is unknown. Nothing is repeated here.
"""

import asyncio
from typing import Final

from schemas.errors import DeadlineExceeded, ServiceError
from streams.calls import frames
from streams.calls.asked import Metadata
from streams.calls.connection import Connection
from streams.calls.frames import Frame, Kind
from streams.calls.outcomes import PeerLost, error_of

_PING_S: Final = 2.0
_CONNECT_TIMEOUT_S: Final = 2.0
_CALLS: Final = 1 << 32


class PeerCall:
    """A call that is under way."""

    __slots__ = ("_future", "_number", "_peer", "_timer", "told")

    def __init__(self, peer: "_Peer", number: int, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._peer = peer
        self._number = number
        self._future: asyncio.Future[bytes] = loop.create_future()
        self._timer = loop.call_later(timeout_s, self._expire)
        self.told: Metadata = ()
        """What came along with the answer."""

    async def answer(self) -> bytes:
        """Return the answer; raises ServiceError, and CancelledError once cancelled."""
        try:
            return await self._future
        except asyncio.CancelledError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Cancel it, there too."""
        self._future.cancel()
        self._leave()

    def settle(self, outcome: bytes | ServiceError) -> None:
        """Hand the outcome over."""
        self._timer.cancel()
        if self._future.done():
            return
        if isinstance(outcome, bytes):
            self._future.set_result(outcome)
        else:
            self._future.set_exception(outcome)
            self._future.exception()  # looked at: nobody may be waiting yet

    def _expire(self) -> None:
        self._leave()
        self.settle(DeadlineExceeded("deadline exceeded before the owner answered"))

    def _leave(self) -> None:
        self._timer.cancel()
        self._peer.leave(self._number)


class _Peer:
    """The connection to a node, made when it is needed."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._calls: dict[int, PeerCall] = {}
        self._number = 0
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ping: asyncio.TimerHandle | None = None

    def ask(self, path: str, body: bytes, *, metadata: Metadata, timeout_s: float) -> PeerCall:
        """Begin a call."""
        self._number = number = (self._number + 1) % _CALLS
        call = self._calls[number] = PeerCall(self, number, timeout_s)
        if self._connection is None:
            self._connect()
        assert self._connection is not None, "expected a connection that is being made"
        self._connection.say(frames.ask(number, path, body, metadata=metadata, timeout_s=timeout_s))
        if self._ping is None:
            loop = asyncio.get_running_loop()
            self._connection.heard_at = loop.time()  # nothing was expected before
            self._ping = loop.call_later(_PING_S, self._look)
        return call

    def leave(self, number: int) -> None:
        """Say that nobody waits for a call any more."""
        if self._calls.pop(number, None) is not None and self._connection is not None:
            self._connection.say(frames.frame(Kind.CANCEL, number))

    async def stop(self) -> None:
        """Close; open calls are lost."""
        connection = self._connection
        self._lost(connection, "this node stops")
        if connection is not None:
            connection.close()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])

    def _connect(self) -> None:
        connection = Connection(self._heard, lambda reason: self._lost(connection, reason))
        connection.say(frames.BEGINNING)
        self._connection = connection
        self._connecting = asyncio.ensure_future(self._open(connection))

    async def _open(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: connection, self._host, self._port)
        except (OSError, TimeoutError) as error:
            self._lost(connection, str(error) or "nobody accepts")

    def _heard(self, frame: Frame) -> None:
        if frame.kind == Kind.PONG:
            return
        if frame.kind == Kind.TOLD:
            if frame.call in self._calls:
                self._calls[frame.call].told = frames.read_told(frame.payload)
            return
        call = self._calls.pop(frame.call, None)
        if call is None:
            return  # it left
        if frame.kind == Kind.ANSWER:
            call.settle(frame.payload)
        else:
            said = frames.read_error(frame.payload)
            call.settle(error_of(said.code, said.message, outcome=said.outcome, status=said.status))

    def _look(self) -> None:
        """Ping while calls are open; a node that says nothing is lost."""
        connection, self._ping = self._connection, None
        if connection is None or not self._calls:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - connection.heard_at > 2 * _PING_S:
            connection.abort()
            self._lost(connection, f"it has said nothing for {2 * _PING_S:g} s")
            return
        connection.say(frames.frame(Kind.PING, 0))
        self._ping = loop.call_later(_PING_S, self._look)

    def _lost(self, connection: Connection | None, reason: str) -> None:
        if connection is None or connection is not self._connection:
            return
        self._connection = None
        calls, self._calls = self._calls, {}
        lost = f"expected an answer of {self._host}:{self._port}, found: {reason}"
        for call in calls.values():
            call.settle(PeerLost(lost))
        if self._ping is not None:
            self._ping.cancel()
            self._ping = None


class Peers:
    """All connections of this node to others."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def ask(
        self, address: str, path: str, body: bytes, *, metadata: Metadata, timeout_s: float
    ) -> PeerCall:
        """Begin a call."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = _Peer(address)
        return peer.ask(path, body, metadata=metadata, timeout_s=timeout_s)

    def forget(self, address: str) -> None:
        """Close the connection to a node that is gone."""
        peer = self._peers.pop(address, None)
        if peer is not None:
            task = asyncio.ensure_future(peer.stop())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        """Close all; calls that are open are lost."""
        for address in list(self._peers):
            self.forget(address)
        if self._closing:
            await asyncio.wait(self._closing)
