"""What a peer may do only so often: cheap frames that cost us more than it.

Each kind has a bucket that fills with time and, but for resets, with every request: a client that
works is never near a limit. Header floods are bounded by `h2` (CONTINUATION) and `hpack` (list
size), open streams by the connection, replies that nobody reads by `outgoing.py`.
"""

from h2.exceptions import DenialOfServiceError


class Flooded(DenialOfServiceError):
    """A peer sent too much of a kind; the connection ends with ENHANCE_YOUR_CALM."""


class Bucket:
    """Holds at most `capacity` of something, refilled at a rate per second."""

    __slots__ = ("_at", "_capacity", "_held", "_kind", "_per_s")

    def __init__(self, kind: str, *, capacity: int, per_s: float) -> None:
        self._kind = kind
        self._capacity = capacity
        self._per_s = per_s
        self._held = float(capacity)
        self._at = 0.0

    def take(self, now: float) -> None:
        """Take one at a monotonic instant (s); raises Flooded."""
        gained = (now - self._at) * self._per_s if self._at else 0.0
        self._held = min(self._capacity, self._held + gained) - 1
        self._at = now
        if self._held < 0:
            raise Flooded(f"expected at most {self._per_s:g} {self._kind} frames/s, found more")

    def fill(self) -> None:
        """Forgive what was taken."""
        self._held = self._capacity


class Floods:
    """The buckets of one connection."""

    def __init__(self, max_streams: int) -> None:
        self.resets = Bucket("RST_STREAM", capacity=2 * max_streams, per_s=400)
        self.pings = Bucket("PING", capacity=200, per_s=5)
        self.controls = Bucket("control", capacity=2_000, per_s=200)
        self.empties = Bucket("empty DATA", capacity=100, per_s=10)
        self._by_request = (self.pings, self.controls, self.empties)

    def on_request(self) -> None:
        """A request came: what is part of asking is forgiven."""
        for bucket in self._by_request:
            bucket.fill()
