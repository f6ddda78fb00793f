"""The transport of the internal port: calls of other nodes, in the frames of `streams/calls`.

A call costs a few microseconds where one over HTTP/2 costs hundreds (decision 8). That the asking
side gave up, or is gone, is the cancellation of the task that serves it. It knows no RPC.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from schemas.errors import ServiceError, Unimplemented
from streams.calls import frames
from streams.calls.connection import Connection
from streams.calls.frames import Frame, Kind
from streams.calls.outcomes import outcome_of
from streams.frontend.listening import listen, shown
from streams.frontend.transport import Table, Unary

_log = structlog.get_logger(__name__)


class _NodeCall:
    """A call as a frame gives it; implements `streams.frontend.transport.Call`."""

    __slots__ = ("deadline", "metadata", "peer", "request", "told")

    def __init__(self, asked: frames.Ask, peer: str) -> None:
        self.request = asked.body
        self.metadata = asked.metadata
        self.deadline: float | None = time.monotonic() + asked.timeout_s
        self.peer = peer
        self.told: list[tuple[str, str]] = []

    def tell(self, name: str, value: str) -> None:
        self.told.append((name, value))


class _Asker:
    """A node that asks, and what is being served for it."""

    def __init__(self, table: Table, gone: Callable[["_Asker"], None]) -> None:
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.connection = Connection(self._heard, self._ended, beginning=frames.BEGINNING)
        self._table = table
        self._gone = gone

    def _heard(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.ASK:
                asked = frames.read_ask(frame.payload)
                task = asyncio.get_running_loop().create_task(self._serve(frame.call, asked))
                self.tasks[frame.call] = task
            case Kind.CANCEL:
                given_up = self.tasks.pop(frame.call, None)
                if given_up is not None:
                    given_up.cancel()
            case Kind.PING:
                self.connection.say(frames.frame(Kind.PONG, 0))
            case _:
                raise frames.Broken(f"expected an asking node, found a frame of kind {frame.kind}")

    async def _serve(self, number: int, asked: frames.Ask) -> None:
        method = self._table.get(asked.path)
        try:
            if not isinstance(method, Unary):
                raise Unimplemented(f"expected a method that nodes know, found {asked.path}")
            call = _NodeCall(asked, self.connection.peer)
            answer = frames.frame(Kind.ANSWER, number, await method.handler(call))
            if call.told:
                answer = frames.told(number, call.told) + answer
        except ServiceError as error:
            status = b"" if error.detail is None else error.status()
            said = frames.Error(int(error.code), error.message, outcome_of(error), status)
            answer = frames.error(number, said)
        if self.tasks.pop(number, None) is not None:
            self.connection.say(answer)

    def _ended(self, reason: str) -> None:
        _log.debug("node_left", peer=self.connection.peer, reason=reason)
        tasks, self.tasks = self.tasks, {}
        for task in tasks.values():
            task.cancel()
        self._gone(self)


class NodeTransport:
    """Listens for other nodes; implements `streams.frontend.transport.Transport`."""

    def __init__(self, table: Table, *, host: str, port: int) -> None:
        self._table = table
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._askers: set[_Asker] = set()

    @property
    def address(self) -> str:
        """`host:port` it listens on; before `start`, the one it will ask for."""
        return shown(self._host, self._port)

    async def start(self) -> None:
        """Begin to listen; raises AddressUnusable."""
        self._server, self._port = await listen(self._accepted, self._host, self._port)

    async def stop(self, *, grace_s: float) -> None:
        """Take no further calls; what is still open after the grace is cancelled."""
        if self._server is None:
            return
        self._server.close()
        tasks = [task for asker in self._askers for task in asker.tasks.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for asker in list(self._askers):
            asker.connection.close()
        self._server = None

    def _accepted(self) -> Connection:
        asker = _Asker(self._table, self._askers.discard)
        self._askers.add(asker)
        return asker.connection
