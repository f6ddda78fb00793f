"""Orders over Kafka: what any producer does, with an Avro library and the schema file alone."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import fastavro
from confluent_kafka import KafkaError, Producer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from infra.demo.orders import QUEUE, DemoOrder, Order

_SCHEMA_FILE: Final = Path(__file__).parents[2] / "schemas" / "avro" / "command.avsc"
_PATIENCE_MS: Final = 120_000
_FLUSH_S: Final = 1.0


class NotProducedError(RuntimeError):
    """Kafka did not take a command."""


class KafkaOrders:
    """A producer of commands; `start` and `pay` queue, `flush` waits until Kafka has them."""

    def __init__(self, address: str) -> None:
        """`address`: Kafka's bootstrap servers."""
        schema = fastavro.schema.load_schema(str(_SCHEMA_FILE))
        digest = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
        self._schema = schema
        self._mark = b"\xc3\x01" + digest[::-1]
        self._refused: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.timeout.ms": _PATIENCE_MS,
                "log_level": 0,  # a server that is started again is part of the show
            }
        )

    def start(self, workflow_id: str, order: Order) -> None:
        """Ask for an order's workflow."""
        body = {"workflow_type": DemoOrder.__name__, "task_queue": QUEUE, "input": [_json(order)]}
        self._ask(workflow_id, "StartWorkflow", body)

    def pay(self, workflow_id: str, card: str) -> None:
        """Tell an order's workflow that it is paid."""
        body = {"signal_name": "paid", "input": [_json(card)]}
        self._ask(workflow_id, "SignalWorkflow", body)

    def flush(self) -> int:
        """Wait a little for Kafka; return how many commands it has not taken yet."""
        left = self._producer.flush(_FLUSH_S)
        if self._refused:
            raise NotProducedError(f"Kafka did not take a command: {self._refused[0].str()}")
        return left

    def _ask(self, workflow_id: str, kind: str, body: dict[str, Any]) -> None:
        command = {
            "command_id": b"",
            "namespace": "default",
            "workflow_id": workflow_id,
            "request_id": f"{workflow_id}/{kind}",
            "body": (f"millrace.{kind}", body),
        }
        value = io.BytesIO()
        value.write(self._mark)
        fastavro.schemaless_writer(value, self._schema, command)
        key = f"default/{workflow_id}".encode()
        self._producer.produce("commands", value.getvalue(), key, on_delivery=self._on_delivery)

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._refused.append(error)


def _json(value: Order | str) -> dict[str, Any]:
    """Return a value as SDKs read it by default."""
    plain = asdict(value) if isinstance(value, Order) else value
    return {"metadata": {"encoding": b"json/plain"}, "data": json.dumps(plain).encode()}
