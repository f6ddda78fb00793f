"""Servers for the tests: on the embedded broker, on a real Apache Kafka, and two nodes on one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.support.alternating import alternating
from tests.support.kafka_real import real_kafka, why_absent
from tests.support.millrace_server import SPREAD, MillraceServer

KAFKAS = [
    "embedded",
    pytest.param("real", marks=pytest.mark.real),
    pytest.param("two nodes", marks=pytest.mark.real),
]


@pytest.fixture(scope="session", params=KAFKAS)
def variant(request: pytest.FixtureRequest) -> str:
    """Return what the servers of a run are."""
    return str(request.param)


@pytest.fixture(scope="session")
def kafka(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real Kafka, or nothing: the embedded broker."""
    if variant == "embedded":
        yield ""
        return
    if reason := why_absent():
        pytest.skip(reason)
    with real_kafka(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture(scope="session")
def server(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillraceServer]:
    """Yield a server that all tests of a run share."""
    scratch = tmp_path_factory.mktemp("server")
    with MillraceServer(scratch, kafka=kafka, options=SPREAD) as running:
        yield running


@pytest.fixture(scope="session")
def second(
    variant: str, kafka: str, server: MillraceServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MillraceServer | None]:
    """Yield a second node beside the server, where the variant has one."""
    if variant != "two nodes":
        yield None
        return
    assert server.is_running
    scratch = tmp_path_factory.mktemp("second")
    with MillraceServer(scratch, kafka=kafka, is_node=True) as running:
        yield running


@pytest.fixture
async def client(server: MillraceServer, second: MillraceServer | None) -> Client:
    """Return a client of the shared server; with two nodes, of both in turn."""
    if second is None:
        return await Client.connect(server.address)
    return await alternating(server.address, second.address)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MillraceServer]:
    """Yield a server of the test's own, not started, that remembers."""
    made = MillraceServer(tmp_path, folder=tmp_path / "data")
    yield made
    if made.is_running:
        made.kill()
