"""The metrics endpoint."""

import asyncio
import urllib.error
import urllib.request

import pytest
from prometheus_client import Counter

from infra.exposition import Exposition
from infra.failures import StartFailure


def fetched(url: str) -> str:
    """Return the body behind a URL."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


async def test_metrics_are_served() -> None:
    """GET /metrics answers what the registry holds; anything else is not found."""
    counter = Counter("millrace_test", "A test.", registry=None)
    counter.inc(3)
    exposition = Exposition("127.0.0.1", 0, counter)
    await exposition.start()
    url = f"http://127.0.0.1:{exposition.port}"
    assert "millrace_test_total 3.0" in await asyncio.to_thread(fetched, f"{url}/metrics")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        await asyncio.to_thread(fetched, f"{url}/secrets")
    await exposition.stop()


async def test_a_broken_request_ends_its_connection_only() -> None:
    """The next one is answered."""
    exposition = Exposition("127.0.0.1", 0)
    await exposition.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", exposition.port)
    writer.write(b"x" * 100_000)
    writer.write_eof()
    await reader.read()
    writer.close()
    url = f"http://127.0.0.1:{exposition.port}/metrics"
    assert await asyncio.to_thread(fetched, url) == ""
    await exposition.stop()


async def test_a_taken_port_is_one_sentence() -> None:
    """With the option that chooses another."""
    first = Exposition("127.0.0.1", 0)
    await first.start()
    second = Exposition("127.0.0.1", first.port)
    with pytest.raises(StartFailure, match="choose another port with --metrics-port"):
        await second.start()
    await first.stop()
