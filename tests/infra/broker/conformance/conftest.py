"""The two brokers of the suite, one server each for the whole session."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.protocol.commit import OffsetFetchRequest_v3
from aiokafka.protocol.coordination import FindCoordinatorRequest_v1
from confluent_kafka.admin import AdminClient

from tests.infra.broker.conformance.clients import create_topic
from tests.infra.broker.conformance.deadlines import eventually
from tests.infra.broker.conformance.wire import Errors, Wire
from tests.support.kafka_embedded import EmbeddedKafka
from tests.support.kafka_real import real_kafka, why_absent

MakeTopic = Callable[..., str]
_numbers = itertools.count(1)
# As the real Kafka of the tests is set: impatient cleaning, topics only when created.
SAME_AS_REAL = {"upkeep_interval_ms": 500, "no_auto_create_topics": True}


@dataclass(frozen=True)
class Broker:
    """A Kafka that the tests talk to; they ask its kind only to know how long things take."""

    kind: str
    address: str


@pytest.fixture(scope="session", params=["embedded", pytest.param("kafka", marks=pytest.mark.real)])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """Yield the embedded broker, then a real Kafka."""
    folder = tmp_path_factory.mktemp("conformance") / "data"
    if request.param == "embedded":
        with EmbeddedKafka(folder, **SAME_AS_REAL) as embedded:
            yield Broker("embedded", embedded.address)
        return
    reason = why_absent()
    if reason is not None:
        pytest.skip(reason)
    with real_kafka(folder) as address:
        yield Broker("kafka", address)


@pytest.fixture
def address(broker: Broker) -> str:
    """Return the bootstrap address."""
    return broker.address


@pytest.fixture
def admin(address: str) -> AdminClient:
    """Return an admin client."""
    return AdminClient({"bootstrap.servers": address})


@pytest.fixture
def wire(address: str) -> Iterator[Wire]:
    """Yield a raw connection."""
    with Wire(address) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    """Return a name that no other test or run uses."""
    return f"t{next(_numbers)}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def group(wire: Wire, name: str) -> str:
    """Return a group id whose coordinator serves: a fresh Kafka makes its own topics first."""

    def serves() -> bool:
        found = wire.ask(FindCoordinatorRequest_v1(name, 0)).error_code
        fetched = wire.ask(OffsetFetchRequest_v3(name, [])).error_code
        return (found, fetched) == (Errors.NONE, Errors.NONE)

    eventually("a coordinator", serves)
    return name


@pytest.fixture
def make_topic(admin: AdminClient, address: str) -> MakeTopic:
    """Return a function that creates a topic under a fresh name."""

    def make(partitions: int = 1, **config: str | float) -> str:
        fresh = f"topic{next(_numbers)}-{uuid.uuid4().hex[:8]}"
        return create_topic(admin, address, fresh, partitions, **config)

    return make


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """Return a fresh topic of one partition."""
    return make_topic()


@pytest.fixture
def start_embedded(tmp_path: Path) -> Iterator[Callable[..., EmbeddedKafka]]:
    """Return a function that starts embedded brokers; what still runs is killed at the end."""
    started: list[EmbeddedKafka] = []

    def start(folder: str = "data", **options: str | float) -> EmbeddedKafka:
        kafka = EmbeddedKafka(tmp_path / folder, **options)
        started.append(kafka)
        kafka.start()
        return kafka

    yield start
    for kafka in started:
        if kafka.is_running:
            kafka.kill()
