"""What a peer may do only so often."""

import pytest

from streams.frontend.http2.floods import Bucket, Flooded, Floods


def test_bucket_empties_and_fills_with_time() -> None:
    """Beyond its capacity only the rate counts."""
    bucket = Bucket("PING", capacity=3, per_s=2)
    for _ in range(3):
        bucket.take(10.0)
    with pytest.raises(Flooded, match="at most 2 PING frames/s"):
        bucket.take(10.0)
    later = Bucket("PING", capacity=3, per_s=2)
    for turn in range(20):
        later.take(10.0 + turn * 0.5)


def test_requests_forgive_pings_but_not_resets() -> None:
    """A client that asks is never near a limit; one that asks and resets is."""
    floods = Floods(max_streams=5)
    for _ in range(500):
        floods.on_request()
        floods.pings.take(10.0)
        floods.controls.take(10.0)
    for _ in range(10):
        floods.on_request()
        floods.resets.take(10.0)
    with pytest.raises(Flooded):
        floods.resets.take(10.0)


def test_cancelling_every_poll_of_a_connection_is_fine() -> None:
    """A worker that stops cancels all its polls at once."""
    floods = Floods(max_streams=2_000)
    for _ in range(2_000):
        floods.resets.take(10.0)
