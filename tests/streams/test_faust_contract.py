"""The contract with the pinned Faust, mode and aiokafka: what we override or reach into is there.

One case for each method and attribute; what the overrides do is in `test_faust_batches.py`.
"""

import inspect
from importlib.metadata import version
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.protocol.group import LeaveGroupRequest
from faust.app.base import BootStrategy
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import conductor, consumer
from faust.transport.drivers import aiokafka as driver
from mode import Service

from streams.faust_batches import BatchApp, BatchConsumer


@pytest.mark.parametrize(
    ("package", "pinned"),
    [("faust-streaming", "0.15.3"), ("mode-streaming", "0.7.1"), ("aiokafka", "0.14.0")],
)
def test_versions_are_the_ones_that_were_read(package: str, pinned: str) -> None:
    """Another version: read the overrides again, run the chaos suite, then change this line."""
    assert version(package) == pinned


CONTRACT = [
    (BootStrategy, "_should_enable_kafka_producer", "(self) -> bool"),
    (TableManager, "on_start", "(self) -> None"),
    (TableManager, "_update_channels", "(self) -> None"),
    (Recovery, "_resume_streams", "(self, generation_id: int = 0) -> None"),
    (PartitionAssignor, "on_assignment", None),
    (PartitionAssignor, "_perform_assignment", None),
    (PartitionAssignor, "_protocol_assignments", None),
    (PartitionAssignor, "_update_member_urls", None),
    (driver.AIOKafkaConsumerThread, "__post_init__", "(self) -> None"),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", None),
    (driver.AIOKafkaConsumerThread, "on_start", "(self) -> None"),
    (driver.AIOKafkaConsumerThread, "verify_event_path", "(self, now: float, tp: {TP}) -> None"),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", None),
    (driver.AIOKafkaConsumerThread, "call_thread", None),
    (driver.Consumer, "_new_consumer_thread", None),
    (consumer.Consumer, "_drain_messages", None),
    (consumer.Consumer, "perform_seek", "(self) -> None"),
    (consumer.Consumer, "resume_flow", "(self) -> None"),
    (consumer.Consumer, "ack", None),
    (consumer.Consumer, "_new_offset", None),
    (consumer.Consumer, "commit_and_end_transactions", "(self) -> None"),
    (driver.AIOKafkaConsumerThread, "_commit", None),
    (driver.AIOKafkaConsumerThread, "on_thread_stop", "(self) -> None"),
    (Service, "_crash", "(self, reason: BaseException) -> None"),
    (Fetcher, "fetched_records", "(self, partitions, timeout=0, max_records=None)"),
    (Fetcher, "_create_fetch_waiter", "(self)"),
    (SubscriptionState, "fetch_context", "(self)"),
    (GroupCoordinator, "check_errors", "(self)"),
    (GroupCoordinator, "_do_heartbeat", "(self)"),
    (GroupCoordinator, "_send_req", "(self, request)"),
    (GroupCoordinator, "ensure_coordinator_known", "(self)"),
    (GroupCoordinator, "request_rejoin", "(self)"),
    (LeaveGroupRequest, "__init__", "(self, group: str, member_id: str)"),
]


@pytest.mark.parametrize(("owner", "attribute", "signature"), CONTRACT)
def test_methods_are_there_with_their_signatures(
    owner: type, attribute: str, signature: str | None
) -> None:
    """Each method that is overridden, wrapped or called."""
    method = inspect.getattr_static(owner, attribute)
    assert callable(method)
    if signature is not None:
        found = str(inspect.signature(method))
        assert found == signature.format(TP="faust.types.tuples.TP")


@pytest.mark.parametrize(
    ("owner", "attribute"),
    [
        (TopicPartitionState, "has_valid_position"),
        (TopicPartitionState, "position"),
        (SubscriptionState, "reassignment_in_progress"),
        (SubscriptionState, "subscription"),
        (PartitionAssignor, "_metadata"),
    ],
)
def test_properties_are_there(owner: type, attribute: str) -> None:
    """Each property that is read or overridden."""
    assert isinstance(inspect.getattr_static(owner, attribute), property)


@pytest.mark.parametrize(
    ("owner", "sentence"),
    [
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "table_standby_replicas > 0"),
        (driver.ConsumerRebalanceListener.on_partitions_assigned, "app.consumer_generation_id ="),
        (Recovery._restart_recovery.fun, "if not self.tables or"),
        (Recovery._resume_streams, "consumer.perform_seek()"),
        (Recovery._resume_streams, "consumer.resume_flow()"),
        (conductor.Conductor.__init__, "self._tp_index ="),
        (consumer.Fetcher._fetcher.fun, "consumer._drain_messages(self)"),
        (TableManager.on_start, "await self.sleep(1.0)"),
        (aiokafka.AIOKafkaConsumer.start, "self._isolation_level"),
        (aiokafka.AIOKafkaConsumer.start, "self._fetch_max_wait_ms"),
        (aiokafka.AIOKafkaConsumer.__init__, "self._max_poll_records ="),
    ],
)
def test_the_source_still_says_what_we_rest_on(owner: Any, sentence: str) -> None:
    """Behaviour that no signature shows."""
    assert sentence in inspect.getsource(owner)


def test_apps_are_made_by_hand() -> None:
    """No module makes an app when it is imported."""
    assert issubclass(BatchApp, faust.App)
    assert issubclass(BatchConsumer, driver.Consumer)
