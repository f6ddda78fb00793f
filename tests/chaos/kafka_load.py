"""Kafka clients while nodes die: commands in, replies out, some in transactions that are aborted.

Plain librdkafka and fastavro with the `.avsc` files, as any user has them. A command without a
reply is asked again under its request id, until there is one; what a client was told goes to the
journal first.
"""

import asyncio
import io
import random
import time
import uuid
from typing import Any, NamedTuple, TypeGuard

import fastavro
from confluent_kafka import Consumer, Producer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from tests.chaos.auditor import HEADER_BYTES, SCHEMAS
from tests.chaos.journal import Journal, Kind, Told
from tests.chaos.load import QUEUE, Workflows

AT_ONCE = 5
SIGNAL_SHARE = 0.5
NOBODY = "nobody"
REPLY_TIMEOUT_S = 10.0
PAUSE_S = 0.05
ABORTED_SHARE = 1 / 3
KAFKA_TIMEOUT_S = 60.0
_UNHEARD = {1, 2, 4, 14}
"""gRPC codes that say nothing of what happened."""

Fields = dict[str, Any]


def _avro(name: str) -> tuple[Any, bytes]:
    """Return a schema, and the bytes that its records begin with."""
    schema = fastavro.schema.load_schema(str(SCHEMAS / f"{name}.avsc"))
    digest = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
    return schema, b"\xc3\x01" + digest[::-1]


COMMAND, COMMAND_MARK = _avro("command")
REPLY, _ = _avro("reply")


class Asked(NamedTuple):
    """A command, and what names it."""

    kind: Kind
    token: str
    workflow_id: str
    body: tuple[str, Fields]
    is_for_all: bool = True
    """Whether other clients may signal it, and workers work for it."""

    def encoded(self) -> bytes:
        """Return its record."""
        out = io.BytesIO()
        fields = {
            "command_id": b"",
            "namespace": "default",
            "workflow_id": self.workflow_id,
            "identity": self.token,
            "request_id": self.token,
            "reply_topic": "replies",
            "body": self.body,
        }
        fastavro.schemaless_writer(out, COMMAND, fields)
        return COMMAND_MARK + out.getvalue()


class Replies:
    """Who reads the replies for all Kafka clients of a test."""

    def __init__(self, kafka: str) -> None:
        settings = {"group.id": f"chaos-{uuid.uuid4()}", "auto.offset.reset": "earliest"}
        self._consumer = Consumer({"bootstrap.servers": kafka, **settings})
        self._consumer.subscribe(["replies"])
        self._waiting: dict[str, asyncio.Future[Fields]] = {}
        self._reading = asyncio.create_task(self._read())

    async def of(self, token: str, timeout_s: float) -> Fields | None:
        """Return the reply to a command; None: there was none in time."""
        reply = self._waiting[token] = asyncio.get_running_loop().create_future()
        await asyncio.wait([reply], timeout=timeout_s)
        self._waiting.pop(token, None)
        return reply.result() if reply.done() else None

    async def close(self) -> None:
        """Read no more."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._consumer.close()

    async def _read(self) -> None:
        while True:
            for message in await asyncio.to_thread(self._consumer.consume, 500, 0.05):
                value = message.value()
                if message.error() is None and value is not None:
                    self._take(value)

    def _take(self, value: bytes) -> None:
        body = io.BytesIO(value[HEADER_BYTES:])
        reply: Any = fastavro.schemaless_reader(body, REPLY, None)
        waiting = self._waiting.get(reply["request_id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)


class KafkaLoad:
    """One client, which asks some commands at once and waits for what it is told of them."""

    def __init__(
        self,
        kafka: str,
        replies: Replies,
        journal: Journal,
        *,
        seed: int,
        workflows: Workflows,
        is_transactional: bool = False,
        at_once: int = AT_ONCE,
    ) -> None:
        settings: Fields = {"bootstrap.servers": kafka, "partitioner": "murmur2_random"}
        settings["enable.idempotence"] = True
        if is_transactional:
            settings["transactional.id"] = f"chaos-{seed}"
        self._producer = Producer(settings)
        self._replies = replies
        self._journal = journal
        self._random = random.Random(seed)
        self._prefix = f"kafka-{seed}"
        self._workflows = workflows
        self._is_transactional = is_transactional
        self._at_once = at_once
        self._count = 0
        self._is_over = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Start asking."""
        self._running = asyncio.create_task(self._run())

    async def settle(self) -> None:
        """Ask nothing new; wait until all that was asked is answered. Raises what went wrong."""
        self._is_over.set()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        if self._is_transactional:
            await asyncio.to_thread(self._producer.init_transactions, KAFKA_TIMEOUT_S)
        while not self._is_over.is_set():
            asked = [self._command() for _ in range(self._random.randint(1, self._at_once))]
            if self._is_transactional and self._random.random() < ABORTED_SHARE:
                await self._abort(asked)
            else:
                await self._ask(asked)
            await asyncio.sleep(PAUSE_S)

    async def _abort(self, asked: list[Asked]) -> None:
        """Ask, and take it back: none of it may happen."""
        self._producer.begin_transaction()
        await asyncio.to_thread(self._produce, asked)
        await asyncio.to_thread(self._producer.abort_transaction, KAFKA_TIMEOUT_S)
        self._journal.note(
            *(Told(each.kind, each.token, each.workflow_id, "", "aborted", 0) for each in asked)
        )

    async def _ask(self, asked: list[Asked]) -> None:
        """Ask until all are answered."""
        began_at, repeats = time.monotonic(), 0
        while asked:
            replies = [
                asyncio.create_task(self._replies.of(each.token, REPLY_TIMEOUT_S)) for each in asked
            ]
            await self._send(asked)
            answers = list(zip(asked, await asyncio.gather(*replies), strict=True))
            told = [self._told(each, reply, repeats) for each, reply in answers if _is_told(reply)]
            if told:
                self._workflows.waited(began_at)
                self._journal.note(*told)
            asked = [each for each, reply in answers if not _is_told(reply)]
            repeats += 1

    async def _send(self, asked: list[Asked]) -> None:
        if self._is_transactional:
            self._producer.begin_transaction()
        await asyncio.to_thread(self._produce, asked)
        if self._is_transactional:
            await asyncio.to_thread(self._producer.commit_transaction, KAFKA_TIMEOUT_S)

    def _produce(self, asked: list[Asked]) -> None:
        for each in asked:
            key = f"default/{each.workflow_id}".encode()
            self._producer.produce("commands", each.encoded(), key)
        left = self._producer.flush(KAFKA_TIMEOUT_S)
        assert left == 0, f"expected Kafka to take all commands, found {left} left"

    def _told(self, asked: Asked, reply: Fields, repeats: int) -> Told:
        """Take note of what a client was told."""
        is_done, run_id, open_ids = reply["code"] == 0, reply["run_id"], self._workflows.open_ids
        if not is_done:
            open_ids.pop(asked.workflow_id, None)
        elif asked.kind == "start" and asked.is_for_all:
            open_ids[asked.workflow_id] = run_id
        return Told(
            asked.kind,
            asked.token,
            asked.workflow_id,
            run_id if is_done else "",
            "done" if is_done else "refused",
            repeats,
            "" if is_done else str(reply["code"]),
        )

    def _command(self) -> Asked:
        """Make a command: signal an open workflow, or start one."""
        self._count += 1
        if self._workflows.open_ids and self._random.random() < SIGNAL_SHARE:
            workflow_id = self._random.choice(list(self._workflows.open_ids))
            token = f"{self._prefix}/signal/{self._count}"
            signal = ("millrace.SignalWorkflow", {"signal_name": "s"})
            return Asked("signal", token, workflow_id, signal)
        token = f"{self._prefix}/start/{self._count}"
        is_for_all = not self._workflows.is_full()
        fields = {"workflow_type": "chaos", "task_queue": QUEUE if is_for_all else NOBODY}
        start = ("millrace.StartWorkflow", fields)
        return Asked("start", token, f"{self._prefix}-{self._count}", start, is_for_all)


def _is_told(reply: Fields | None) -> TypeGuard[Fields]:
    return reply is not None and reply["code"] not in _UNHEARD
