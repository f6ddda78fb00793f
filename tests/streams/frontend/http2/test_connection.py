"""A connection on a real socket: large answers, slow and broken clients, floods."""

import asyncio
import contextlib
import gc
import random
import struct
import weakref
from collections.abc import AsyncIterator

import grpc
import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from schemas.errors import InvalidArgument
from streams.frontend.http2_transport import Http2Transport
from streams.frontend.settings import FrontendSettings
from streams.frontend.transport import Call, Unary

_PATH = "/test.Service/"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Service:
    """A service to try a transport with."""

    def __init__(self) -> None:
        self.settings = FrontendSettings(max_concurrent_streams=200)
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.metadata: list[tuple[str, str | bytes]] = []
        names = {"Echo": self.echo, "Grow": self.grow, "Hang": self.hang, "Fail": self.fail}
        table = {_PATH + name: Unary(handler) for name, handler in names.items()}
        self.transport = Http2Transport(table, host="127.0.0.1", port=0, settings=self.settings)

    async def echo(self, call: Call) -> bytes:
        """Answer with the request."""
        self.metadata = list(call.metadata)
        return call.request

    async def grow(self, call: Call) -> bytes:
        """Answer with as many bytes as the request says."""
        return b"x" * int(call.request)

    async def hang(self, call: Call) -> bytes:
        """Never answer."""
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return call.request

    async def fail(self, call: Call) -> bytes:
        """Refuse."""
        raise InvalidArgument(call.request.decode())

    async def opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a bare connection."""
        host, _, port = self.transport.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service that listens."""
    service = Service()
    await service.transport.start()
    yield service
    await service.transport.stop(grace_s=0)


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A client of it."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(service.transport.address, options=options) as channel:
        yield channel


async def test_large_answers_pass_the_windows(channel: grpc.aio.Channel) -> None:
    """Megabytes in several calls at once, through windows much smaller than they are."""
    calls = [channel.unary_unary(f"{_PATH}Grow")(b"%d" % (i * 1_000_003)) for i in range(8)]
    assert [len(answer) for answer in await asyncio.gather(*calls)] == [
        i * 1_000_003 for i in range(8)
    ]


async def test_requests_just_below_the_limit_pass(channel: grpc.aio.Channel) -> None:
    """The stream's window holds a message of the largest size."""
    request = b"x" * (4 * 1024 * 1024)
    for _ in range(5):
        assert await channel.unary_unary(f"{_PATH}Echo")(request) == request


async def test_many_calls_share_a_connection(channel: grpc.aio.Channel) -> None:
    """More calls than may be open at once wait at the client and are all answered."""
    calls = [channel.unary_unary(f"{_PATH}Echo")(b"%d" % i) for i in range(1_000)]
    assert await asyncio.gather(*calls) == [b"%d" % i for i in range(1_000)]


async def test_metadata_is_read(service: Service, channel: grpc.aio.Channel) -> None:
    """Text and binary metadata arrive as sent."""
    sent = (("client-name", "me"), ("some-bin", b"\x00\xff"))
    await channel.unary_unary(f"{_PATH}Echo")(b"", metadata=sent)
    assert set(sent) <= set(service.metadata)


async def test_refusal_text_survives(channel: grpc.aio.Channel) -> None:
    """Any text reaches the client."""
    text = "100 % ü\n\x7f" + "x" * 2_000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"{_PATH}Fail")(text.encode())
    assert caught.value.details() == text


async def test_refusal_is_as_long_as_the_client_takes(channel: grpc.aio.Channel) -> None:
    """A text longer than the client's header list is cut; the call is refused all the same."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"{_PATH}Fail")(("%" * 30_000).encode())
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    found = caught.value.details()
    assert found
    assert 2_000 < len(found) < 30_000
    assert set(found) == {"%"}


@pytest.mark.parametrize("kind", ["cancel", "deadline", "close"])
async def test_given_up_call_is_cancelled(service: Service, kind: str) -> None:
    """A reset, a deadline or a lost connection cancels what runs."""
    async with grpc.aio.insecure_channel(service.transport.address) as channel:
        call = channel.unary_unary(f"{_PATH}Hang")(b"", timeout=1 if kind == "deadline" else None)
        waiting = asyncio.ensure_future(call)
        await asyncio.wait_for(service.began.wait(), 10)
        if kind == "cancel":
            call.cancel()
        elif kind == "close":
            await channel.close()
        await asyncio.wait_for(service.cancelled.wait(), 10)
        await asyncio.wait([waiting])


async def test_stop_answers_what_is_inside_and_cuts_the_rest(service: Service) -> None:
    """What does not end in time is told to ask elsewhere."""
    async with grpc.aio.insecure_channel(service.transport.address) as channel:
        call = channel.unary_unary(f"{_PATH}Hang")(b"")
        await asyncio.wait_for(service.began.wait(), 10)
        await service.transport.stop(grace_s=0.05)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert service.cancelled.is_set()


async def _closed(reader: asyncio.StreamReader) -> bytes:
    """Return what was said before the server closed the connection."""
    async with asyncio.timeout(10):
        return await reader.read()


async def test_other_protocols_are_closed(service: Service) -> None:
    """HTTP/1 and noise end the connection, not the server."""
    for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" * 20, bytes(100)):
        reader, writer = await service.opened()
        writer.write(noise)
        await _closed(reader)
        writer.close()
    async with grpc.aio.insecure_channel(service.transport.address) as channel:
        assert await channel.unary_unary(f"{_PATH}Echo")(b"ok") == b"ok"


def _frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload
    )


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(_frame(6, 0, 0, bytes(8)), id="pings"),
        pytest.param(_frame(4, 0, 0), id="settings"),
        pytest.param(_frame(2, 0, 1, b"\x00\x00\x00\x00\x10"), id="priorities"),
    ],
)
async def test_floods_end_the_connection(service: Service, flood: bytes) -> None:
    """A peer that only keeps us busy is told to calm down."""
    reader, writer = await service.opened()
    writer.write(_PREFACE + _frame(4, 0, 0) + flood * 3_000)
    heard = await _closed(reader)
    assert b"\x00\x00\x00\x0b" in heard[-40:]  # ENHANCE_YOUR_CALM, in GOAWAY
    writer.close()


async def test_rapid_resets_end_the_connection(service: Service) -> None:
    """Requests that are reset at once cost us more than their sender (CVE-2023-44487)."""
    reader, writer = await service.opened()
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for stream_id in range(1, 2_001, 2):
        client.send_headers(stream_id, _request_headers())
        client.reset_stream(stream_id)
    writer.write(client.data_to_send())
    assert b"\x00\x00\x00\x0b" in (await _closed(reader))[-40:]
    writer.close()


async def test_streams_beyond_the_limit_are_refused_alone(service: Service) -> None:
    """A client that does not wait for our settings has single calls refused, to be repeated."""
    reader, writer = await service.opened()
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for stream_id in range(1, 2 * 210, 2):
        client.send_headers(stream_id, _request_headers())
    writer.write(client.data_to_send())
    refused = 0
    async with asyncio.timeout(10):
        while refused < 10:
            heard = client.receive_data(await reader.read(65_536))
            refused += sum(isinstance(one, events.StreamReset) for one in heard)
    assert refused == 10
    writer.close()


def _request_headers() -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"{_PATH}Hang"),
        (":authority", "x"),
        ("content-type", "application/grpc"),
    ]


@pytest.mark.parametrize("seed", range(8))
async def test_noise_after_the_preface_never_harms_others(service: Service, seed: int) -> None:
    """Random frames, cut anywhere, end their own connection at most."""
    source = random.Random(seed)
    async with grpc.aio.insecure_channel(service.transport.address) as channel:
        for _ in range(30):
            reader, writer = await service.opened()
            noise = b"".join(
                _frame(
                    source.randrange(12),
                    source.randrange(256),
                    source.choice([0, 1, 2, 3, 2**31 - 1]),
                    source.randbytes(source.choice([0, 4, 5, 8, 40])),
                )
                for _ in range(source.randrange(6))
            )
            writer.write(_PREFACE + _frame(4, 0, 0) + noise[: source.randrange(len(noise) + 1)])
            writer.write_eof()
            await _closed(reader)
            writer.close()
        assert await channel.unary_unary(f"{_PATH}Echo")(b"ok") == b"ok"


async def test_client_that_does_not_read_costs_bounded_memory(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers nobody takes end the connection at a limit."""
    monkeypatch.setattr("streams.frontend.http2.connection.MOST_BYTES", 3_000_000)
    reader, writer = await service.opened()
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for stream_id in (1, 3, 5, 7):
        client.send_headers(
            stream_id, [*_request_headers()[:2], (":path", f"{_PATH}Grow"), *_request_headers()[3:]]
        )
        client.send_data(stream_id, b"\x00\x00\x00\x00\x071000000", end_stream=True)
    writer.write(client.data_to_send())
    said = b""
    with contextlib.suppress(ConnectionResetError):
        said = await _closed(reader)
    assert len(said) < 1_000_000
    writer.close()


async def test_lost_connection_is_freed_without_the_collector(service: Service) -> None:
    """A server whose clients come and go does not wait for a search for cycles."""
    gc.collect()
    gc.disable()
    try:
        reader, writer = await service.opened()
        client = H2Connection(H2Configuration(client_side=True))
        client.initiate_connection()
        client.send_headers(
            1, [*_request_headers()[:2], (":path", f"{_PATH}Echo"), *_request_headers()[3:]]
        )
        client.send_data(1, b"\x00\x00\x00\x00\x00", end_stream=True)
        writer.write(client.data_to_send())
        async with asyncio.timeout(10):
            while b"grpc-status" not in await reader.read(65_536):
                pass
            known = [weakref.ref(one) for one in service.transport._connections]
            writer.close()
            while any(one() is not None for one in known):  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0)
    finally:
        gc.enable()
    assert len(known) == 1
