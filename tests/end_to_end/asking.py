"""A Kafka client for tests: commands in, replies out, transactions on request."""

import asyncio
import json
import uuid
from typing import Any, Self

from confluent_kafka import Consumer, Producer

from schemas.codec import COMMAND, REPLY
from schemas.ids import workflow_partition

PARTITIONS = 4
_REPLY_TIMEOUT_S = 30.0


def payload(value: object) -> dict[str, Any]:
    """Return a value as SDKs read it by default."""
    return {"metadata": {"encoding": b"json/plain"}, "data": json.dumps(value).encode()}


class Asker:
    """Produces commands and waits for replies."""

    def __init__(self, kafka: str, *, is_transactional: bool = False) -> None:
        settings: dict[str, Any] = {
            "bootstrap.servers": kafka,
            "partitioner": "murmur2_random",
            "message.max.bytes": 16 << 20,
        }
        if is_transactional:
            settings["transactional.id"] = f"tests-{uuid.uuid4()}"
        self.producer = Producer(settings)
        if is_transactional:
            self.producer.init_transactions(30)
        self._replies = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": str(uuid.uuid4()),
                "auto.offset.reset": "earliest",
            }
        )
        self._replies.subscribe(["replies"])
        self._found: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.producer.flush(10)
        self._replies.close()

    def ask(
        self,
        workflow_id: str,
        kind: str,
        body: dict[str, Any],
        *,
        request_id: str = "",
        partition: int = -1,
    ) -> str:
        """Produce a command; return its request id."""
        request_id = request_id or str(uuid.uuid4())
        value = COMMAND.encode(
            {
                "command_id": b"",
                "namespace": "default",
                "workflow_id": workflow_id,
                "identity": "asker",
                "request_id": request_id,
                "reply_topic": "replies",
                "body": (f"millrace.{kind}", body),
            }
        )
        self.send(f"default/{workflow_id}".encode(), value, partition=partition)
        return request_id

    def send(self, key: bytes | None, value: bytes | None, *, partition: int = -1) -> None:
        """Produce anything."""
        self.producer.produce("commands", value, key, partition)
        self.producer.poll(0)

    async def replies(self, *request_ids: str) -> list[dict[str, Any]]:
        """Return the replies to request ids."""
        await asyncio.to_thread(self.producer.flush, 10)
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            while not all(each in self._found for each in request_ids):
                await asyncio.to_thread(self._poll)
        return [self._found[each] for each in request_ids]

    def is_replied(self, request_id: str) -> bool:
        """Whether a reply has been read."""
        return request_id in self._found

    def _poll(self) -> None:
        for message in self._replies.consume(100, 0.2):
            if message.error() is None:
                reply: dict[str, Any] = dict(REPLY.decode(message.value() or b""))
                self._found[reply["request_id"]] = reply


def wrong_partition(workflow_id: str) -> int:
    """Return a partition that is not the workflow id's."""
    return (workflow_partition("default", workflow_id, PARTITIONS) + 1) % PARTITIONS
