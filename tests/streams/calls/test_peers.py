"""The internal port and its client on real connections: what passes, and how a loss looks."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from schemas.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotTheOwner,
    OutcomeUnknown,
    WorkflowAlreadyStarted,
)
from streams.calls.asked import Asked, headers
from streams.calls.frames import BEGINNING, Kind, frame
from streams.calls.gone import is_refused
from streams.calls.outcomes import Answered, PeerLost
from streams.calls.peers import Peers
from streams.frontend.internal import InternalPort
from streams.frontend.node_transport import NodeTransport
from streams.frontend.transport import Call, Table

_PATH = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution"
_ASKED = Asked(b"0123456789abcdef", 7)


def transport(table: Table) -> NodeTransport:
    """Return an internal transport on a free port."""
    return NodeTransport(table, host="127.0.0.1", port=0)


class Server:
    """An internal port whose one method does what the test says."""

    def __init__(self) -> None:
        self.port = InternalPort(transport)
        self.seen: list[Call] = []
        self.outcome: bytes | Exception = b"done"
        self.asked = asyncio.Event()
        self.given_up = asyncio.Event()
        self.is_blocked = False

    async def serve(self, call: Call) -> bytes:
        """Answer as told, or wait until given up."""
        self.seen.append(call)
        self.asked.set()
        if self.is_blocked:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.given_up.set()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """An open port."""
    server = Server()
    await server.port.start()
    server.port.open({_PATH: server.serve})
    yield server
    await server.port.stop()


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    """A node's connections."""
    peers = Peers()
    yield peers
    await peers.stop()


async def ask(peers: Peers, address: str, timeout_s: float = 10) -> bytes:
    """Ask the one method."""
    sent = headers(_ASKED, [("client-name", "temporal-python"), ("millrace-id-bin", b"forged")])
    return await peers.ask(address, _PATH, b"request", metadata=sent, timeout_s=timeout_s).answer()


async def test_c2_bytes_metadata_and_deadline_arrive(server: Server, peers: Peers) -> None:
    """As they were, with our own beside; what a client said in our name is not among it (C6)."""
    assert await ask(peers, server.port.address, timeout_s=10) == b"done"
    (call,) = server.seen
    found = dict(call.metadata)
    assert call.request == b"request"
    assert found["client-name"] == "temporal-python"
    assert found["millrace-id-bin"] == _ASKED.id
    assert found["millrace-namespaces"] == "7"
    assert call.deadline is not None
    assert call.deadline - asyncio.get_running_loop().time() < 10


@pytest.mark.parametrize("error", [NotTheOwner("moved"), OutcomeUnknown("lost")])
async def test_c2_lost_owner_is_told_from_an_answer(
    server: Server, peers: Peers, error: Exception
) -> None:
    """Both are UNAVAILABLE by code; the trailer says which."""
    server.outcome = error
    with pytest.raises(type(error)) as caught:
        await ask(peers, server.port.address)
    assert type(caught.value) is type(error)


async def test_refusal_passes_with_its_details(server: Server, peers: Peers) -> None:
    """Code, text and the very bytes of `grpc-status-details-bin`."""
    refusal = WorkflowAlreadyStarted("taken", start_request_id="r", run_id="run")
    server.outcome = refusal
    with pytest.raises(Answered) as caught:
        await ask(peers, server.port.address)
    assert caught.value.code == refusal.code
    assert caught.value.message == "taken"
    assert caught.value.status() == refusal.status()
    server.outcome = InvalidArgument("plain")
    with pytest.raises(Answered) as caught:
        await ask(peers, server.port.address)
    assert caught.value.detail is None


async def test_c2_cancellation_reaches_the_owner(server: Server, peers: Peers) -> None:
    """Whether the caller's task is cancelled or the call is."""
    server.is_blocked = True
    task = asyncio.ensure_future(ask(peers, server.port.address))
    await server.asked.wait()
    task.cancel()
    await asyncio.wait_for(server.given_up.wait(), 10)
    server.asked.clear()
    server.given_up.clear()
    call = peers.ask(server.port.address, _PATH, b"", metadata=headers(_ASKED), timeout_s=10)
    answer = asyncio.ensure_future(call.answer())
    await server.asked.wait()
    call.cancel()
    await asyncio.wait_for(server.given_up.wait(), 10)
    assert await asyncio.gather(answer, return_exceptions=True) != [b""]


async def test_c2_deadline_is_the_callers(server: Server, peers: Peers) -> None:
    """Not an unknown outcome to be asked again: there is no time left."""
    server.is_blocked = True
    with pytest.raises(DeadlineExceeded):
        await ask(peers, server.port.address, timeout_s=0.2)


async def test_c2_owner_that_stops_is_lost(server: Server, peers: Peers) -> None:
    """A call that is cut off has an unknown outcome; afterwards nobody is there (V6)."""
    server.is_blocked = True
    task = asyncio.ensure_future(ask(peers, server.port.address))
    await server.asked.wait()
    await server.port.stop()
    with pytest.raises(OutcomeUnknown):
        await task
    with pytest.raises(PeerLost):
        await ask(peers, server.port.address)
    assert await is_refused(server.port.address)


async def test_c2_port_that_is_not_open_yet_is_not_the_owner(peers: Peers) -> None:
    """It listens early because claims name its address."""
    port = InternalPort(transport)
    await port.start()
    assert not await is_refused(port.address)
    with pytest.raises(NotTheOwner):
        await ask(peers, port.address)
    await port.stop()


async def test_c2_process_that_accepts_and_says_nothing_is_lost(peers: Peers) -> None:
    """A stopped process: its kernel accepts for it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        with pytest.raises(PeerLost):
            await ask(peers, f"{host}:{port}", timeout_s=60)


async def test_bug_is_answered_internal(server: Server, peers: Peers) -> None:
    """It costs its call only, and is not asked again."""
    server.outcome = ZeroDivisionError()
    with pytest.raises(Answered) as caught:
        await ask(peers, server.port.address)
    assert caught.value.code == 13


async def test_c2_calls_go_on_beside_one_another(server: Server, peers: Peers) -> None:
    """A hundred on one connection, large ones among them; each gets its own answer."""

    async def echo(call: Call) -> bytes:
        await asyncio.sleep(0)
        return call.request

    server.port.open({_PATH: echo})
    bodies = [bytes([n]) * (1 << 20 if n % 25 == 0 else n) for n in range(100)]
    asked = [
        peers.ask(server.port.address, _PATH, body, metadata=headers(_ASKED), timeout_s=30)
        for body in bodies
    ]
    assert await asyncio.gather(*(call.answer() for call in asked)) == bodies


async def test_c6_stranger_is_told_nothing(server: Server) -> None:
    """A client of another protocol, or of another version, is hung up on."""
    host, _, port = server.port.address.rpartition(":")
    for said in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"millrace 9\n" + bytes(100)):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_c6_frame_that_is_none_ends_its_connection(server: Server, peers: Peers) -> None:
    """Calls of others go on."""
    host, _, port = server.port.address.rpartition(":")
    for junk in (b"\xff" * 64, frame(Kind.ASK, 1, b"junk"), frame(Kind.ANSWER, 1)):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(BEGINNING + junk)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert await ask(peers, server.port.address) == b"done"
