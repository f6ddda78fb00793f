"""Answers that wait until their client takes them: windows, a full socket, long streams.

One `Outgoing` a stream. What waits is bounded: a client that asks on without reading is cut off.
"""

import asyncio

from streams.frontend.http2.session import Session

MOST_BYTES = 256 * 1024 * 1024


class Outgoing:
    """What is left to say on one stream."""

    __slots__ = ("_drained", "left", "trailers")

    def __init__(self) -> None:
        self.left = memoryview(b"")
        self.trailers: bytes | None = None
        self._drained: asyncio.Future[None] | None = None

    def add(self, message: bytes) -> None:
        """Add a framed message."""
        self.left = memoryview(bytes(self.left) + message if self.left else message)

    async def drained(self) -> None:
        """Wait until all of it has been said."""
        if self.left:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def pump(self, session: Session, stream_id: int) -> bool:
        """Say as much as there is room for; whether the stream is said to its end."""
        while self.left:
            room = session.room_bytes(stream_id)
            if room <= 0:
                return False
            session.say_piece(stream_id, bytes(self.left[:room]))
            self.left = self.left[room:]
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.trailers is None:
            return False
        session.say_headers(stream_id, self.trailers, is_last=True)
        return True
