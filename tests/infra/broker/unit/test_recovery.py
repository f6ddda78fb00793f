"""Opening a log again: after a clean stop, a kill, a torn write, garbage."""

import random
from pathlib import Path

import pytest

from infra.broker.log import PartitionLog
from infra.broker.recovery import captured, write_checkpoint
from tests.infra.broker.unit.batch_maker import batch
from tests.infra.broker.unit.conftest import OpenLog
from tests.infra.broker.unit.test_log import NOW, offsets_in


def filled(open_log: OpenLog, count: int, *, checkpoint_at: int | None = None) -> PartitionLog:
    """Return a log of one-record batches of a producer, checkpointed on the way."""
    log = open_log(cached=False, segment_bytes=3_000)
    for sequence in range(count):
        if sequence == checkpoint_at:
            checkpoint(log)
        log.append(batch(producer=(7, 0, sequence), timestamp=sequence), NOW)
    return log


def checkpoint(log: PartitionLog) -> None:
    """Do what upkeep does after a flush."""
    for segment in log.unindexed:
        segment.write_index(log.files)
    log.unindexed.clear()
    write_checkpoint(captured(log), log.files)


@pytest.mark.parametrize("checkpoint_at", [None, 0, 1, 40, 99])
def test_an_unclean_stop_loses_nothing(open_log: OpenLog, checkpoint_at: int | None) -> None:
    """Records, segments, time index and sequences are as before, wherever the checkpoint was."""
    before = filled(open_log, 100, checkpoint_at=checkpoint_at)
    after = open_log(cached=False, segment_bytes=3_000)
    assert offsets_in(after, 0) == list(range(100))
    assert [one.base_offset for one in after.segments] == [
        one.base_offset for one in before.segments
    ]
    assert after.first_since(77) == (77, 77)
    assert after.producers.snapshot() == before.producers.snapshot()


def test_a_repeated_batch_is_known_after_a_restart(open_log: OpenLog) -> None:
    """The producer gets the first place again, not a second record."""
    filled(open_log, 10)
    after = open_log()
    assert after.append(batch(producer=(7, 0, 9), timestamp=9), NOW).base_offset == 9
    assert after.next_offset == 10


def test_an_open_transaction_is_open_after_a_restart(open_log: OpenLog) -> None:
    """The last stable offset stays before it."""
    log = open_log()
    log.append(batch(), NOW)
    log.append(batch(producer=(7, 0, 0), is_transactional=True), NOW)
    checkpoint(log)
    log.append(batch(), NOW)
    assert open_log().stable_offset == 1


@pytest.mark.parametrize("checkpoint_at", [None, 60])
@pytest.mark.parametrize("seed", range(25))
def test_any_damage_at_the_end_leaves_a_valid_prefix(
    open_log: OpenLog, tmp_path: Path, seed: int, checkpoint_at: int | None
) -> None:
    """Cut, overwritten, or with garbage behind: what is before the damage is there, and usable."""
    filled(open_log, 100, checkpoint_at=checkpoint_at).close()
    rng = random.Random(seed)
    path = max((tmp_path / "log").glob("*.log"))
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    kind = rng.choice(["cut", "flip", "garbage"])
    if kind == "cut":
        del content[at:]
    elif kind == "flip":
        content[at] ^= 1 << rng.randrange(8)
    else:
        content += rng.randbytes(rng.randrange(1, 400))
    path.write_bytes(content)
    after = open_log(cached=False, segment_bytes=3_000)
    survivors = offsets_in(after, 0)
    assert survivors == list(range(after.next_offset))
    assert after.next_offset >= int(path.stem)
    assert kind != "garbage" or after.next_offset == 100
    if not after.producers.states:
        return
    following = after.producers.states[7].batches[-1].last_sequence + 1
    assert following == after.next_offset
    appended = after.append(batch(producer=(7, 0, following), timestamp=following), NOW)
    assert appended.base_offset == following


def test_a_damaged_checkpoint_is_ignored(open_log: OpenLog, tmp_path: Path) -> None:
    """Everything is scanned instead."""
    filled(open_log, 100, checkpoint_at=50)
    path = tmp_path / "log" / "checkpoint"
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    assert offsets_in(open_log(segment_bytes=3_000), 0) == list(range(100))


def test_a_missing_index_is_made_anew(open_log: OpenLog, tmp_path: Path) -> None:
    """An index is only a short cut."""
    filled(open_log, 100, checkpoint_at=99)
    for path in (tmp_path / "log").glob("*.index"):
        path.unlink()
    assert offsets_in(open_log(cached=False, segment_bytes=3_000), 0) == list(range(100))
