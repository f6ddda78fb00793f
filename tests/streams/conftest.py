"""The two brokers that the Kafka side is tested on, and fresh topics on them."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from streams.kafka.admin import KafkaAdmin
from tests.support.kafka_embedded import EmbeddedKafka
from tests.support.kafka_real import real_kafka, why_absent
from tests.support.waiting import until

MakeTopic = Callable[..., Awaitable[str]]
_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=["embedded", pytest.param("kafka", marks=pytest.mark.real)])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the address of the embedded broker, then of a real Kafka."""
    folder = tmp_path_factory.mktemp("broker") / "data"
    if request.param == "embedded":
        with EmbeddedKafka(folder) as embedded:
            yield embedded.address
        return
    reason = why_absent()
    if reason is not None:
        pytest.skip(reason)
    with real_kafka(folder) as found:
        yield found


@pytest.fixture
async def admin(address: str) -> AsyncIterator[KafkaAdmin]:
    """Yield an admin."""
    one = KafkaAdmin(address)
    yield one
    await one.stop()


@pytest.fixture
def name() -> str:
    """Return a name that no other test or run uses."""
    return f"t{next(_numbers)}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def make_topic(admin: KafkaAdmin) -> MakeTopic:
    """Return a function that creates a topic under a fresh name."""

    async def make(partitions: int = 1, **config: str) -> str:
        fresh = f"topic{next(_numbers)}-{uuid.uuid4().hex[:8]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        await create(admin, fresh, partitions, settings)
        return fresh

    return make


async def create(admin: KafkaAdmin, topic: str, partitions: int, config: dict[str, str]) -> None:
    """Create a topic and wait until it can be used."""
    new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
    await asyncio.wrap_future(admin.client.create_topics([new])[topic])

    def is_led() -> bool:
        found = admin.client.list_topics(topic, timeout=10).topics[topic].partitions
        return len(found) == partitions and all(one.leader >= 0 for one in found.values())

    await until("leaders", lambda: asyncio.to_thread(is_led))
