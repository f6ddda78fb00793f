"""One end of a connection between nodes: frames in, frames out, one write a loop turn.

Nothing is known here of calls; both ends build on it.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from streams.calls.frames import Broken, Frame, Frames


class Connection(asyncio.Protocol):
    """A connection whose frames go to `heard`, and whose end goes to `ended`."""

    def __init__(
        self,
        heard: Callable[[Frame], None],
        ended: Callable[[str], None],
        *,
        beginning: bytes = b"",
    ) -> None:
        """`beginning` is what the other end must say first."""
        self._heard = heard
        self._ended = ended
        self._frames = Frames(beginning)
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self.peer = ""
        """The other end's address, as text."""

    def say(self, frame: bytes) -> None:
        """Send a frame at the end of this turn."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    def close(self) -> None:
        """End it; what was said before is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._transport is None:
            return  # it goes out once there is a connection
        out, self._out = self._out, []
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = ":".join(str(part) for part in transport.get_extra_info("peername")[:2])
        self._flush()

    def data_received(self, piece: bytes) -> None:
        """Hand over what is whole."""
        self.heard_at = self._loop.time()
        try:
            for frame in self._frames.take(piece):
                self._heard(frame)
        except Broken as broken:
            self._ended(str(broken))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._ended(str(exc) if exc else "the connection was closed")
