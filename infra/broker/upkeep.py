"""Background work on logs: flush, indexes, checkpoints. Retention and cleaning hang on its clock.

The loop decides what is to be done and captures it; one thread does the slow calls. Nothing here
is on the path of a request except `flushed`, on which durability `fsync` waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from infra.broker.errors import ErrorCode, KafkaError
from infra.broker.files import Files
from infra.broker.log import PartitionLog
from infra.broker.recovery import Checkpoint, captured, write_checkpoint
from infra.broker.segment import Segment
from infra.broker.settings import Settings
from infra.broker.store import Store
from infra.broker.topics import Topic, Topics

_log = logging.getLogger(__name__)
_STORE_FLUSH_DELAY_S = 1.0


class _Batch(NamedTuple):
    """What one flush of one log has to do."""

    log: PartitionLog
    next_offset: int
    segments: list[Segment]
    unindexed: list[Segment]
    checkpoint: Checkpoint | None


class Upkeep:
    """Flushes what was written, and runs periodic work under supervision."""

    def __init__(self, settings: Settings, store: Store, files: Files, topics: Topics) -> None:
        self._settings = settings
        self._store = store
        self._files = files
        self._topics = topics
        self._thread = ThreadPoolExecutor(1, "upkeep")
        self._unflushed: set[PartitionLog] = set()
        self._due_checkpoints: set[PartitionLog] = set()
        self._flush: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: list[asyncio.Task[None]] = []
        self._store_changes = store.change_count

    def start(self) -> None:
        """Begin the periodic work."""
        self.every(_STORE_FLUSH_DELAY_S, self._flush_store)
        self.every(self._settings.checkpoint_interval_ms / 1000, self._checkpoint_busy_logs)

    def every(self, interval_s: float, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job again and again; a failing one is logged and goes on."""
        self._jobs.append(asyncio.create_task(self._supervised(interval_s, job)))

    @staticmethod
    async def _supervised(interval_s: float, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await job()
            except Exception:  # noqa: BLE001 - this loop owns the job
                _log.exception("background_job_failed")

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Run slow file work in the one upkeep thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def note_append(self, log: PartitionLog) -> None:
        """See to it that what was appended is flushed soon."""
        self._unflushed.add(log)
        if self._timer is None and self._flush is None:
            loop = asyncio.get_running_loop()
            delay = self._settings.flush_interval_ms / 1000 if log.serves_unflushed else 0
            self._timer = loop.call_later(delay, self._begin_flush)

    def _begin_flush(self) -> None:
        self._timer = None
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_logs())

    async def flushed(self, log: PartitionLog, offset: int) -> None:
        """Wait until a log is on the disk up to offset; all who wait share a flush."""
        while log.flushed_offset < offset and not log.is_deleted:
            flush = self._flush
            is_own = flush is None
            if flush is None:
                flush = self._flush = asyncio.create_task(self._flush_logs())
            await asyncio.shield(flush)
            if is_own and log.flushed_offset < offset and not log.is_deleted:
                raise KafkaError(
                    ErrorCode.KAFKA_STORAGE_ERROR, "expected to flush, found a full disk"
                )

    async def _flush_logs(self) -> None:
        """Flush everything unflushed once."""
        logs, self._unflushed = self._unflushed, set()
        work = [self._captured(log) for log in logs if not log.is_deleted]
        try:
            await self.in_thread(partial(self._flush_now, work))
        except OSError as error:
            _log.warning("flush_failed: %s", error)
            self._take_back(work)
        else:
            for batch in work:
                batch.log.flushed_offset = max(batch.log.flushed_offset, batch.next_offset)
                if not batch.log.serves_unflushed:
                    batch.log.wake()
        finally:
            self._flush = None
        for log in list(self._unflushed)[:1]:
            self.note_append(log)

    def _captured(self, log: PartitionLog) -> _Batch:
        """Note what to flush; the log starts collecting anew."""
        segments, log.unflushed = log.unflushed, set()
        unindexed, log.unindexed = log.unindexed, []
        checkpoint = None
        if unindexed or log in self._due_checkpoints:
            self._due_checkpoints.discard(log)
            checkpoint = captured(log)
            log.appended_since_checkpoint = 0
        return _Batch(log, log.next_offset, list(segments), unindexed, checkpoint)

    def _take_back(self, work: list[_Batch]) -> None:
        for batch in work:
            batch.log.unflushed.update(batch.segments)
            batch.log.unindexed = batch.unindexed + batch.log.unindexed
            self._unflushed.add(batch.log)

    def _flush_now(self, work: list[_Batch]) -> None:
        """Flush, then write what may only be written after it; runs in the thread."""
        for batch in work:
            if batch.log.is_deleted:
                continue
            for segment in batch.segments:
                self._files.flush(segment.descriptor)
            for segment in batch.unindexed:
                segment.write_index(self._files)
            if batch.checkpoint is not None:
                write_checkpoint(batch.checkpoint, self._files)

    async def _flush_store(self) -> None:
        if self._store.change_count != self._store_changes:
            self._store_changes = self._store.change_count
            await self.in_thread(self._store.flush)

    async def _checkpoint_busy_logs(self) -> None:
        enough = self._settings.checkpoint_batch_count
        for _, _, log in self._topics.all_logs():
            if log.appended_since_checkpoint >= enough:
                self.request_checkpoint(log)

    def request_checkpoint(self, log: PartitionLog) -> None:
        """Write a checkpoint of a log with its next flush."""
        self._due_checkpoints.add(log)
        self.note_append(log)

    async def remove_segments(self, segments: list[Segment]) -> None:
        """Delete segments that no log refers to any more."""
        await self.in_thread(partial(_remove, segments))

    async def remove_topic(self, topic: Topic) -> None:
        """Delete the folder of a topic that is forgotten already."""
        await self.in_thread(partial(self._topics.remove_files, topic))

    async def stop(self) -> None:
        """End the periodic work; flush and checkpoint everything."""
        for job in self._jobs:
            job.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._flush is not None:
            await self._flush
        for _, _, log in self._topics.all_logs():
            if log.appended_since_checkpoint or log.unflushed:
                self._due_checkpoints.add(log)
                self._unflushed.add(log)
        await self._flush_logs()
        self._thread.shutdown()


def _remove(segments: list[Segment]) -> None:
    for segment in segments:
        segment.remove()
