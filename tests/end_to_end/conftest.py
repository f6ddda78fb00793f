"""Servers for the tests: on the embedded broker, and on a real Apache Kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.support.kafka_real import real_kafka, why_absent
from tests.support.millrace_server import MillraceServer

KAFKAS = ["embedded", pytest.param("real", marks=pytest.mark.real)]


@pytest.fixture(scope="session", params=KAFKAS)
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the address of a real Kafka, or nothing: the embedded broker."""
    if request.param == "embedded":
        yield ""
        return
    if reason := why_absent():
        pytest.skip(reason)
    with real_kafka(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture(scope="session")
def server(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillraceServer]:
    """Yield a server that all tests of a run share."""
    with MillraceServer(tmp_path_factory.mktemp("server"), kafka=kafka) as running:
        yield running


@pytest.fixture
async def client(server: MillraceServer) -> Client:
    """Return a client of the shared server."""
    return await Client.connect(server.address)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MillraceServer]:
    """Yield a server of the test's own, not started, that remembers."""
    made = MillraceServer(tmp_path, folder=tmp_path / "data")
    yield made
    if made.is_running:
        made.kill()
