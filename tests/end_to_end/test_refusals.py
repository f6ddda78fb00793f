"""A node of several that cannot run says why in one sentence, and takes part in nothing (V2)."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.support.kafka_embedded import EmbeddedKafka
from tests.support.millrace_server import PROJECT

WEEK_MS = "604800000"

_AHEAD = """
import time
_now = time.time_ns
time.time_ns = lambda: _now() + 60_000_000_000
"""
"""What Python runs at its start: a machine whose clock is a minute ahead."""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """Yield a Kafka without topics."""
    with EmbeddedKafka(tmp_path / "broker", no_auto_create_topics=True) as running:
        yield running


def refused(*options: str, **environment: str) -> str:
    """Run `millrace serve` that must not start; return its one sentence."""
    line = [sys.executable, "-m", "infra.cli", "serve", "--port", "0", *options]
    ended = subprocess.run(
        line,
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


@pytest.mark.parametrize("roles", ["frontend", "frontend,history,matching"])
def test_l7_a_clock_that_is_off(kafka: EmbeddedKafka, tmp_path: Path, roles: str) -> None:
    """Before it serves anything or joins a group, whatever its roles are."""
    (tmp_path / "sitecustomize.py").write_text(_AHEAD)
    said = refused("--kafka", kafka.address, "--roles", roles, PYTHONPATH=str(tmp_path))
    assert said == (
        "The clock of this machine is 60 s ahead of Kafka's; set it right "
        "(allowed: node.clock_tolerance_s = 10).\n"
    )
    admin = AdminClient({"bootstrap.servers": kafka.address})
    groups = admin.list_consumer_groups(request_timeout=10).result().valid
    assert groups == []


@pytest.mark.parametrize(
    ("topic", "setting", "found"),
    [
        ("events", "retention.ms", WEEK_MS),
        ("events", "cleanup.policy", "compact"),
        ("events", "message.timestamp.type", "CreateTime"),
        ("commands-internal", "retention.ms", WEEK_MS),
        ("owners", "cleanup.policy", "delete"),
        ("tasks", "max.message.bytes", "1048588"),
    ],
)
def test_v2_a_topic_that_would_lose_facts(
    kafka: EmbeddedKafka, topic: str, setting: str, found: str
) -> None:
    """It names the topic, the setting, and what was expected."""
    config = {
        "retention.ms": "-1",
        "max.message.bytes": str(16 << 20),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime" if topic == "events" else "CreateTime",
        "cleanup.policy": "compact" if topic in ("owners", "tasks") else "delete",
    }
    partitions = 1 if topic == "owners" else 4
    admin = AdminClient({"bootstrap.servers": kafka.address})
    made = NewTopic(topic, partitions, 1, config=config | {setting: found})
    admin.create_topics([made])[topic].result()
    said = refused("--kafka", kafka.address)
    assert said.startswith(f"The node cannot start on Kafka at {kafka.address}: expected topic ")
    assert f"'{topic}' to have {setting}=" in said
    assert f", found {found}: facts could be lost, so this node does not start." in said


def test_l11_other_partition_counts(kafka: EmbeddedKafka) -> None:
    """Keys would map elsewhere."""
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic("events", 3, 1)])["events"].result()
    said = refused("--kafka", kafka.address)
    assert "expected topic 'events' to have 4 partitions as in the settings, found 3" in said


def test_an_unreachable_kafka() -> None:
    """With its address."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
    said = refused("--kafka", address)
    assert said.startswith(f"The node cannot start on Kafka at {address}: expected to reach Kafka")


@pytest.mark.parametrize("option", ["--port", "--internal-port"])
def test_a_taken_port(kafka: EmbeddedKafka, option: str) -> None:
    """With the option that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused("--kafka", kafka.address, option, port) == (
            f"Cannot listen on 127.0.0.1:{port} (Address already in use); "
            f"choose another port with {option}.\n"
        )
