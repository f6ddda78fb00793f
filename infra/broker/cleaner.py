"""When and where logs are cleaned: retention and compaction, beside the traffic.

The loop picks segments and swaps files in; a process of its own rewrites them (`compaction`).
"""

import asyncio
import json
import subprocess
import sys

from infra.broker.compaction import Cleaned, Job
from infra.broker.log import PartitionLog
from infra.broker.retention import expired_to
from infra.broker.segment import Segment
from infra.broker.store import Store
from infra.broker.topics import Topic, Topics
from infra.broker.upkeep import Upkeep


class Cleaner:
    """Keeps logs as small as their topics allow."""

    def __init__(self, store: Store, topics: Topics, upkeep: Upkeep) -> None:
        self._store = store
        self._topics = topics
        self._upkeep = upkeep
        self._process: subprocess.Popen[str] | None = None

    async def expire(self, now_ms: int) -> None:
        """Delete segments that retention gives up."""
        dropped: list[Segment] = []
        for topic, partition, log in self._topics.all_logs():
            offset = expired_to(log, now_ms)
            if offset > log.start_offset:
                dropped += self._forget(topic, partition, offset, now_ms)
        if dropped:
            await self._upkeep.remove_segments(dropped)

    def _forget(self, topic: Topic, partition: int, offset: int, now_ms: int) -> list[Segment]:
        """Move the start of a log; an active segment that is given up whole is closed first."""
        log = topic.logs[partition]
        if offset == log.next_offset and log.active.size:
            log.roll(now_ms)
        self._store.save_log_start(topic.id, partition, offset)
        return log.forget_before(offset)

    async def compact(self, now_ms: int) -> None:
        """Compact every log that is dirty enough."""
        logs = [log for _, _, log in self._topics.all_logs() if log.config.is_compacted]
        jobs = [(log, job) for log in logs if (job := job_for(log, now_ms)) is not None]
        if not jobs:
            return
        lines = await asyncio.to_thread(self._run, [job for _, job in jobs])
        for (log, job), line in zip(jobs, lines, strict=True):
            cleaned = [Cleaned(*fields) for fields in json.loads(line)]
            self._upkeep.request_checkpoint(log)
            await self._upkeep.remove_segments(put_in_place(log, job, cleaned))

    def _run(self, jobs: list[Job]) -> list[str]:
        """Run the compaction process; in a thread."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infra.broker.compaction"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            output, _ = self._process.communicate(json.dumps(jobs))
            if self._process.returncode != 0:
                raise RuntimeError(f"compaction ended with code {self._process.returncode}")
        finally:
            self._process = None
        return output.splitlines()

    def stop(self) -> None:
        """End a compaction under way; its files are scrap."""
        if self._process is not None:
            self._process.kill()


def job_for(log: PartitionLog, now_ms: int) -> Job | None:
    """Return what to compact of a log; None while little of it is dirty."""
    segments = _cleanable(log, now_ms)
    total = sum(segment.size for segment in segments)
    dirty = sum(one.size for one in segments if one.base_offset >= log.cleaned_to)
    if not dirty or dirty < total * log.config.min_dirty_ratio:
        return None
    return Job(
        str(log.folder),
        [(segment.base_offset, segment.next_offset, segment.size) for segment in segments],
        [(one.producer_id, one.first_offset, one.marker_offset) for one in log.producers.aborted],
        now_ms - log.config.delete_retention_ms,
        log.config.segment_bytes,
    )


def _cleanable(log: PartitionLog, now_ms: int) -> list[Segment]:
    """Return the first closed segments, as long as flushed, indexed, stable and old enough."""
    cleanable = []
    for segment in log.segments[:-1]:
        is_stable = segment.next_offset <= min(log.stable_offset, log.flushed_offset)
        is_old = now_ms - segment.max_timestamp >= log.config.min_compaction_lag_ms
        if not is_stable or not is_old or not segment.index_path.exists():
            break
        cleanable.append(segment)
    return cleanable


def put_in_place(log: PartitionLog, job: Job, cleaned: list[Cleaned]) -> list[Segment]:
    """Swap cleaned segments in and return those replaced; empty if the log changed meanwhile.

    A crash in between leaves segments that overlap the one before; recovery drops them.
    """
    bases = [base for base, _, _ in job.segments]
    old = log.segments[: len(bases)]
    if log.is_deleted or [segment.base_offset for segment in old] != bases:
        return []
    new = []
    for one in cleaned:
        segment = Segment(log.folder, one.base_offset)
        segment.path.with_suffix(".cleaned").replace(segment.path)
        segment.path.with_suffix(".cleaned-index").replace(segment.index_path)
        segment.adopt_summary()
        new.append(segment)
    log.segments[: len(bases)] = new
    log.tail.clear()
    log.cleaned_to = cleaned[-1].next_offset
    log.producers.forget_aborted_below(log.cleaned_to)
    return _detached(old, {segment.base_offset for segment in new})


def _detached(old: list[Segment], kept_bases: set[int]) -> list[Segment]:
    """Close the old segments; return those whose files are not replaced and have to go."""
    for segment in old:
        segment.close()
    return [segment for segment in old if segment.base_offset not in kept_bases]
