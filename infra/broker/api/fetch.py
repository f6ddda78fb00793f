"""Fetch 4-12: read batches, waiting for new ones. No fetch sessions: every answer is full."""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

from infra.broker.api.call import Answer, Call
from infra.broker.broker import LEADER_EPOCH, Broker
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.log import PartitionLog
from infra.broker.schema import Message

_READ_COMMITTED = 1


class _Collected(NamedTuple):
    """A response, and whether it can be sent at once."""

    response: Message
    is_enough: bool


def fetch(broker: Broker, request: Message, _call: Call) -> Answer:
    """Answer with what is there; if that is too little, wait for more."""
    collected = _collect(broker, request)
    if collected.is_enough or request["max_wait_ms"] <= 0 or not request["topics"]:
        return collected.response
    # Nothing runs between this look and the registration, so no record can come in between.
    return _Wait(broker, request).answer()


class _Wait:
    """A fetch that waits for records: it is told of changes from its making on."""

    def __init__(self, broker: Broker, request: Message) -> None:
        self._broker = broker
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + request["max_wait_ms"] / 1000
        self._watched: list[PartitionLog] = []
        self._watch()
        self._timer = self._loop.call_at(self._deadline, self._time_out)

    def _watch(self) -> None:
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self._watched = list(_logs(self._broker, self._request))
        for log in self._watched:
            log.watchers.add(self._notify)

    def _forget(self) -> None:
        for log in self._watched:
            log.watchers.discard(self._notify)

    def _notify(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)

    def _time_out(self) -> None:
        self._forget()  # here too: the client may be gone before `answer` ever ran
        self._notify()

    async def answer(self) -> Message:
        """Wait until enough is there or the time is up."""
        try:
            while True:
                await self._changed
                self._forget()
                collected = _collect(self._broker, self._request)
                if collected.is_enough or self._loop.time() >= self._deadline:
                    return collected.response
                self._watch()
        finally:
            self._forget()
            self._timer.cancel()


def _logs(broker: Broker, request: Message) -> Iterator[PartitionLog]:
    for topic in request["topics"]:
        known = broker.topics.by_name.get(topic["topic"])
        for partition in topic["partitions"]:
            if known is not None and 0 <= partition["partition"] < len(known.logs):
                yield known.logs[partition["partition"]]


def _collect(broker: Broker, request: Message) -> _Collected:
    """Read all partitions asked for, within the limits of the request."""
    is_committed = request["isolation_level"] == _READ_COMMITTED
    left, total, has_error = request["max_bytes"], 0, False
    responses = []
    for topic in request["topics"]:
        answers = []
        for partition in topic["partitions"]:
            # A batch larger than the limits is sent alone, or a consumer would be stuck.
            limit = min(left, partition["partition_max_bytes"])
            answer = _read(
                broker,
                (topic["topic"], partition),
                limit=limit if left > 0 or not total else None,
                is_committed=is_committed,
            )
            size = sum(map(len, answer["records"]))
            left, total = left - size, total + size
            has_error = has_error or answer["error_code"] != 0
            answers.append(answer)
        responses.append({"topic": topic["topic"], "partitions": answers})
    is_enough = has_error or total >= request["min_bytes"]
    return _Collected({"responses": responses}, is_enough)


def _read(
    broker: Broker, asked: tuple[str, Message], *, limit: int | None, is_committed: bool
) -> Message:
    """Read one partition and return its part of the response."""
    topic, partition = asked
    index, offset = partition["partition"], partition["fetch_offset"]
    try:
        log = broker.topics.log(topic, index)
        check_leader_epoch(partition["current_leader_epoch"])
        upto = log.stable_offset if is_committed else log.high_watermark
        records = log.read(offset, max(0, limit), upto) if limit is not None else []
    except KafkaError as error:
        return _refused(index, error.code)
    aborted = None
    if is_committed:
        aborted = [
            {"producer_id": one.producer_id, "first_offset": one.first_offset}
            for one in (log.producers.aborted_between(offset, upto) if records else ())
        ]
    return {
        "partition_index": index,
        "error_code": 0,
        "high_watermark": log.high_watermark,
        "last_stable_offset": log.stable_offset,
        "log_start_offset": log.start_offset,
        "aborted_transactions": aborted,
        "records": records,
    }


def _refused(index: int, code: ErrorCode) -> Message:
    return {
        "partition_index": index,
        "error_code": code,
        "high_watermark": -1,
        "last_stable_offset": -1,
        "log_start_offset": -1,
        "aborted_transactions": None,
        "records": (),
    }


def check_leader_epoch(known: int) -> None:
    """Refuse a client that believes in another leader epoch; -1 means that it does not say."""
    if known > LEADER_EPOCH:
        raise KafkaError(ErrorCode.UNKNOWN_LEADER_EPOCH)
    if -1 < known < LEADER_EPOCH:
        raise KafkaError(ErrorCode.FENCED_LEADER_EPOCH)
