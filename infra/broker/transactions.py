"""Transactions by transactional id.

Empty --add--> Ongoing --end--> PrepareCommit or PrepareAbort --markers written--> CompleteCommit or
CompleteAbort --add--> Ongoing ...

The decision (Prepare) is stored before any marker; whoever finds it at start, or after a full disk,
writes the markers that are missing. A producer that is silent for its timeout, or whose id is asked
for by another, is fenced by a higher epoch and its transaction aborted.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any

from infra.broker.batches import BatchHeader, marker
from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.offsets import CommittedOffsets
from infra.broker.store import Store, StoredOffset
from infra.broker.topics import Topics
from infra.broker.upkeep import Upkeep

EMPTY, ONGOING = "Empty", "Ongoing"
_PREPARE = {True: "PrepareCommit", False: "PrepareAbort"}
_COMPLETE = {True: "CompleteCommit", False: "CompleteAbort"}
_LAST_EPOCH = 32_766


@dataclass(slots=True)
class Transaction:
    """A transactional id: its producer, and what its transaction touched."""

    id: str
    producer_id: int
    epoch: int = -1
    state: str = EMPTY
    timeout_ms: int = 60_000
    started_ms: int = 0
    updated_ms: int = 0
    partitions: set[tuple[str, int]] = field(default_factory=set)
    offsets: dict[tuple[str, str, int], StoredOffset] = field(default_factory=dict)

    @property
    def decision(self) -> bool | None:
        """Whether it is to be committed; None unless decided and not complete."""
        return next((choice for choice, name in _PREPARE.items() if name == self.state), None)

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "producer_id": self.producer_id,
            "epoch": self.epoch,
            "state": self.state,
            "timeout_ms": self.timeout_ms,
            "started_ms": self.started_ms,
            "updated_ms": self.updated_ms,
            "partitions": sorted(self.partitions),
            "offsets": [list(offset) for offset in self.offsets.values()],
        }

    @classmethod
    def restored(cls, transactional_id: str, snapshot: dict[str, Any]) -> "Transaction":
        """Rebuild from what `snapshot` returned."""
        fields = {**snapshot, "partitions": {(name, at) for name, at in snapshot["partitions"]}}
        offsets = [StoredOffset(*offset) for offset in fields.pop("offsets")]
        transaction = cls(transactional_id, **fields)
        transaction.keep(offsets)
        return transaction

    def keep(self, offsets: list[StoredOffset]) -> None:
        """Hold offsets until the transaction ends; a later one replaces an earlier one."""
        for one in offsets:
            self.offsets[one.group, one.topic, one.partition] = one


class Transactions:
    """The transaction coordinator."""

    def __init__(
        self, store: Store, topics: Topics, offsets: CommittedOffsets, upkeep: Upkeep
    ) -> None:
        self._store = store
        self._topics = topics
        self._offsets = offsets
        self._upkeep = upkeep
        self._by_id: dict[str, Transaction] = {}
        self._by_producer: dict[int, Transaction] = {}

    def start(self, now_ms: int) -> None:
        """Restore all, and finish what was decided."""
        for transactional_id, snapshot in self._store.transactions():
            self._keep(Transaction.restored(transactional_id, snapshot))
        with contextlib.suppress(KafkaError):  # a full disk; the next tick tries again
            self.tick(now_ms)

    def _keep(self, transaction: Transaction) -> None:
        self._by_id[transaction.id] = transaction
        self._by_producer[transaction.producer_id] = transaction

    def _save(self, transaction: Transaction, now_ms: int) -> None:
        transaction.updated_ms = now_ms
        self._store.save_transaction(transaction.id, transaction.snapshot())

    def init(
        self, transactional_id: str, timeout_ms: int, known: tuple[int, int], now_ms: int
    ) -> tuple[int, int]:
        """Give a producer its id and a new epoch, aborting what an earlier one left open.

        `known` is the (producer id, epoch) it has, (-1, -1) for a new one. Raise PRODUCER_FENCED.
        """
        transaction = self._by_id.get(transactional_id)
        if transaction is None:
            transaction = Transaction(transactional_id, self._store.new_producer_id())
            self._keep(transaction)
        if known[0] >= 0 and known != (transaction.producer_id, transaction.epoch):
            raise KafkaError(ErrorCode.PRODUCER_FENCED, "a newer producer has this id")
        if transaction.state == ONGOING:
            transaction.epoch += 1
            self._decide(transaction, now_ms, is_commit=False)
        elif transaction.decision is not None:
            self._complete(transaction, now_ms)
        self._bump(transaction)
        transaction.timeout_ms = timeout_ms
        transaction.state = EMPTY
        self._save(transaction, now_ms)
        return transaction.producer_id, transaction.epoch

    def _bump(self, transaction: Transaction) -> None:
        """Raise the epoch; an exhausted one is replaced by a new producer id."""
        transaction.epoch += 1
        if transaction.epoch >= _LAST_EPOCH:
            del self._by_producer[transaction.producer_id]
            transaction.producer_id = self._store.new_producer_id()
            transaction.epoch = 0
            self._keep(transaction)

    def _found(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        transaction = self._by_id.get(transactional_id)
        if transaction is None or transaction.producer_id != producer_id:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
        if transaction.epoch != epoch:
            raise KafkaError(ErrorCode.PRODUCER_FENCED)
        return transaction

    def _begun(self, producer: tuple[str, int, int], now_ms: int) -> Transaction:
        """Return the ongoing transaction of a producer, begun if there is none."""
        transaction = self._found(*producer)
        if transaction.decision is not None:
            self._complete(transaction, now_ms)
        if transaction.state != ONGOING:
            transaction.state = ONGOING
            transaction.started_ms = now_ms
        return transaction

    def add_partitions(
        self, producer: tuple[str, int, int], partitions: set[tuple[str, int]], now_ms: int
    ) -> None:
        """Take partitions into the transaction; `producer` is (transactional id, id, epoch)."""
        transaction = self._begun(producer, now_ms)
        if not partitions <= transaction.partitions:
            transaction.partitions |= partitions
            self._save(transaction, now_ms)

    def add_offsets(self, producer: tuple[str, int, int], now_ms: int) -> None:
        """Begin the transaction, if it is not, because offsets of a group will come."""
        self._save(self._begun(producer, now_ms), now_ms)

    def commit_offsets(
        self, producer: tuple[str, int, int], offsets: list[StoredOffset], now_ms: int
    ) -> None:
        """Hold offsets that become visible with the commit."""
        transaction = self._found(*producer)
        if transaction.state != ONGOING:
            raise KafkaError(ErrorCode.INVALID_TXN_STATE, "expected an ongoing transaction")
        transaction.keep(offsets)
        self._save(transaction, now_ms)

    def check_batch(self, header: BatchHeader, topic: str, partition: int) -> None:
        """Refuse a transactional batch outside of its transaction; it could never be ended."""
        transaction = self._by_producer.get(header.producer_id)
        if transaction is None:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
        if header.producer_epoch != transaction.epoch:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH)
        if transaction.state != ONGOING or (topic, partition) not in transaction.partitions:
            raise KafkaError(
                ErrorCode.INVALID_TXN_STATE, "expected the partition in an ongoing transaction"
            )

    def end(self, producer: tuple[str, int, int], now_ms: int, *, is_commit: bool) -> None:
        """Commit or abort; asking again for what was done is fine."""
        transaction = self._found(*producer)
        if transaction.state == ONGOING:
            self._decide(transaction, now_ms, is_commit=is_commit)
        elif transaction.decision is is_commit:
            self._complete(transaction, now_ms)
        elif transaction.state not in (_COMPLETE[is_commit], EMPTY):
            raise KafkaError(
                ErrorCode.INVALID_TXN_STATE, f"expected an ongoing one, found {transaction.state}"
            )

    def _decide(self, transaction: Transaction, now_ms: int, *, is_commit: bool) -> None:
        transaction.state = _PREPARE[is_commit]
        try:
            self._save(transaction, now_ms)
        except KafkaError:
            transaction.state = ONGOING
            raise
        self._complete(transaction, now_ms)

    def _complete(self, transaction: Transaction, now_ms: int) -> None:
        """Write the markers that are missing, then show the offsets."""
        is_commit = bool(transaction.decision)
        for name, partition in sorted(transaction.partitions):
            self._mark(transaction, (name, partition), now_ms, is_commit=is_commit)
        transaction.state = _COMPLETE[is_commit]
        offsets = list(transaction.offsets.values()) if is_commit else []
        touched, held = transaction.partitions, transaction.offsets
        transaction.partitions, transaction.offsets = set(), {}
        try:
            with self._store.transaction():
                self._offsets.commit(offsets)
                self._save(transaction, now_ms)
        except KafkaError:
            transaction.state = _PREPARE[is_commit]
            transaction.partitions, transaction.offsets = touched, held
            raise

    def _mark(
        self, transaction: Transaction, place: tuple[str, int], now_ms: int, *, is_commit: bool
    ) -> None:
        """End the transaction in one partition, unless that was done or the topic is gone."""
        topic = self._topics.by_name.get(place[0])
        if topic is None or place[1] >= len(topic.logs):
            return
        log = topic.logs[place[1]]
        if transaction.producer_id in log.producers.open_transactions:
            batch = marker(transaction.producer_id, transaction.epoch, now_ms, is_commit=is_commit)
            log.append_marker(batch, now_ms, is_commit=is_commit)
            self._upkeep.note_append(log)
            log.wake()

    def unstable_offsets(self, group: str) -> set[tuple[str, int]]:
        """Return (topic, partition) of a group's offsets that a transaction may yet change."""
        return {
            (topic, partition)
            for transaction in self._by_id.values()
            for name, topic, partition in transaction.offsets
            if name == group
        }

    def tick(self, now_ms: int) -> None:
        """Abort transactions whose time is up, and complete what a full disk kept open."""
        for transaction in list(self._by_id.values()):
            is_late = transaction.started_ms + transaction.timeout_ms < now_ms
            if transaction.decision is not None:
                self._complete(transaction, now_ms)
            elif transaction.state == ONGOING and is_late:
                transaction.epoch += 1
                self._decide(transaction, now_ms, is_commit=False)

    def expire(self, before_ms: int) -> None:
        """Forget transactional ids that were not used since an instant."""
        for transaction in list(self._by_id.values()):
            is_idle = transaction.state != ONGOING and transaction.decision is None
            if is_idle and transaction.updated_ms < before_ms:
                self._store.delete_transaction(transaction.id)
                del self._by_id[transaction.id], self._by_producer[transaction.producer_id]
