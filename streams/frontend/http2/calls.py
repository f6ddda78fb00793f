"""What is open on a connection: unary calls and the few streaming ones.

Both take data as it comes and start their handler's task; how an answer leaves is the connection's.
"""

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from schemas.errors import Internal, InvalidArgument
from streams.frontend.http2 import wire
from streams.frontend.http2.messages import MessageReader

Headers = Sequence[tuple[bytes, bytes]]


class Http2Call:
    """One call; implements `streams.frontend.transport.Call`."""

    __slots__ = (
        "_headers",
        "_told",
        "deadline",
        "path",
        "peer",
        "reader",
        "request",
        "stream_id",
        "task",
        "timer",
    )

    def __init__(
        self, stream_id: int, headers: Headers, *, path: str, peer: str, reader: MessageReader
    ) -> None:
        self.stream_id = stream_id
        self.path = path
        self.peer = peer
        self.reader = reader
        self.request = b""
        self.deadline: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._headers = headers
        self._told = b""

    @property
    def metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The headers that came with it, without HTTP/2's own."""
        return [_read(name, value) for name, value in self._headers if name[:1] != b":"]

    def tell(self, name: str, value: str) -> None:
        """Send something along with the answer."""
        self._told += wire.block([(name.encode("ascii"), value.encode("ascii"))])

    @property
    def trailers(self) -> bytes:
        """The block that ends a call that went well."""
        return wire.OK_BLOCK + self._told

    def feed(self, chunk: bytes) -> None:
        """Take data of the request; raises what a bad one is answered with."""
        self.reader.feed(chunk)

    def end(self) -> None:
        """The client has said all; raises Internal for what is not one whole message."""
        request = self.reader.take()
        if request is None:
            raise Internal("expected one message, found none or a part of one")
        if not self.reader.is_empty:
            raise Internal("expected one message, found more")
        self.request = request

    def stop(self) -> None:
        """Stop what runs for it."""
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


class Http2Stream(Http2Call):
    """A call whose requests come and whose responses go as they will."""

    __slots__ = ("_has_ended", "_news", "_requests", "_took")

    def __init__(
        self, stream_id: int, headers: Headers, *, path: str, peer: str, reader: MessageReader
    ) -> None:
        super().__init__(stream_id, headers, path=path, peer=peer, reader=reader)
        self._requests: deque[bytes] = deque()
        self._has_ended = False
        self._news = asyncio.Event()
        self._took: Callable[[int, int], None] | None = None

    def on_taken(self, took: Callable[[int, int], None]) -> None:
        """`took(stream_id, bytes)` is called when a request was read by the handler."""
        self._took = took

    def feed(self, chunk: bytes) -> None:
        """Take data of the requests; raises what a bad one is answered with."""
        self.reader.feed(chunk)
        while (request := self.reader.take()) is not None:
            self._requests.append(request)
        if self._took is not None:
            self._took(self.stream_id, len(chunk))
        self._news.set()

    def end(self) -> None:
        """The client has said all."""
        self._has_ended = True
        self._news.set()

    async def requests(self) -> AsyncIterator[bytes]:
        """Yield the requests as they come, until the client has said all."""
        while True:
            while self._requests:
                yield self._requests.popleft()
            if self._has_ended:
                return
            self._news.clear()
            await self._news.wait()


def _read(name: bytes, value: bytes) -> tuple[str, str | bytes]:
    """Return a header as metadata: binary ones are base64, padded or not."""
    if not name.endswith(b"-bin"):
        return name.decode("ascii", "replace"), value.decode("utf-8", "replace")
    try:
        return name.decode("ascii", "replace"), base64.b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error as error:
        raise InvalidArgument(f"expected base64 in {name.decode('ascii', 'replace')}") from error
