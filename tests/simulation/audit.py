"""The auditor: folds `events` by the accept rule and compares it with what clients were told.

Exactly once: each answered command is in the log exactly once, each refused one is not; sources
only rise; answers agree; each store equals a fold of the log from nothing.
"""

from collections import Counter as Tally
from typing import TYPE_CHECKING, Any

from schemas.codec import CLAIM, decode
from streams.log.erasing import PREFIX as DELETED
from streams.log.folded import Folded
from streams.log.outbox_rows import PREFIX as OUTBOX
from streams.log.position import KEY
from streams.log.trimming import KEY as MARKS
from tests.simulation.kafka import Log
from tests.simulation.stores import Disk, SimStore

if TYPE_CHECKING:
    from tests.simulation.world import World


class Entry:
    """What became of one ask."""

    def __init__(self, workflow_id: str, method: str) -> None:
        self.workflow_id = workflow_id
        self.method = method
        self.answer: bytes | None = None
        self.refused: str | None = None
        self.is_unknown = False


class Journal:
    """What the clients were told."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}

    def asked(self, command_id: bytes, workflow_id: str, method: str) -> Entry:
        """Note an ask."""
        entry = self.entries[command_id] = Entry(workflow_id, method)
        return entry


def accepted(log: Log) -> list[tuple[int, bool, dict[str, Any]]]:
    """Return (offset, is a claim, fields) of all accepted records; the rule L1, written anew."""
    epoch, incarnation, seq = 0, bytes(8), 0
    found = []
    for record in log.records:
        assert record is not None
        kind, fields = decode(record.value or b"")
        is_claim = kind is CLAIM
        ok = fields["seq"] == seq + 1 and (
            fields["epoch"] > epoch  # type: ignore[operator]
            if is_claim
            else (fields["epoch"], fields["incarnation"]) == (epoch, incarnation)
        )
        if ok:
            epoch, incarnation, seq = (fields[n] for n in ("epoch", "incarnation", "seq"))  # type: ignore[assignment]
            found.append((record.offset, is_claim, fields))
    return found


def tip(log: Log) -> tuple[int, int]:
    """Return (seq, epoch) of the last accepted record."""
    records = accepted(log)
    return (records[-1][2]["seq"], records[-1][2]["epoch"]) if records else (0, 0)


def audit(world: "World") -> None:
    """Check everything."""
    answered: Tally[bytes] = Tally()
    for number in range(world.partitions):
        answered.update(_answered(world, number))
    for command_id, entry in world.journal.entries.items():
        count = answered[command_id]
        if entry.refused is not None:
            assert count == 0, f"refused {entry.method} is in the log {count} times"
        elif entry.answer is not None:
            assert count == 1, f"answered {entry.method} is in the log {count} times"
        else:
            assert count <= 1, f"unanswered {entry.method} is in the log {count} times"
    for number in range(world.partitions):
        _compare_store(world, number)


def _answered(world: "World", number: int) -> Tally[bytes]:
    found: Tally[bytes] = Tally()
    sources: dict[tuple[str, str], int] = {}
    for offset, is_claim, fields in accepted(world.kafka.log("events", number)):
        for source in fields["sources"]:
            name, position = (source["topic"], source["sender"]), source["position"]
            was = sources.get(name, -1)
            assert is_claim or position > was, f"events-{number}@{offset}: {name} {was} again"
            sources[name] = position
        found.update(answer["command_id"] for answer in fields.get("answers", ()))
    return found


def _compare_store(world: "World", number: int) -> None:
    """Each store of a living node equals a fold of the log up to its position."""
    for node in world.nodes:
        disk = node.disks.get(number)
        if disk is None or KEY not in disk.rows:
            continue
        fresh = Disk()
        folded = Folded(
            number,
            SimStore(fresh, lambda: True, lambda: None),
            make_machine=world.parts.make_machine,
            settings=world.settings,
            partitions=world.partitions,
        )
        log = world.kafka.log("events", number)
        owner = Folded(
            number,
            SimStore(_copy(disk), lambda: True, lambda: None),
            make_machine=world.parts.make_machine,
            settings=world.settings,
            partitions=world.partitions,
        )
        end = owner.position.next_offset
        folded.position.log_id = owner.position.log_id
        for first in range(log.start, end, 7):
            assert folded.fold(log.read(first, min(7, end - first)))
        assert _rows(fresh, folded) == _rows(disk, folded), (
            f"{node.name}: store {number} is not the log's fold"
        )


def _copy(disk: Disk) -> Disk:
    copy = Disk()
    for key in disk.keys:
        copy.put(key, disk.rows[key])
    return copy


def _rows(disk: Disk, folded: Folded) -> dict[bytes, bytes]:
    """Return the rows that follow from the log alone: what nobody reads is erased some time."""
    deleted = [key for key in disk.keys if key.startswith(DELETED)]
    unread = [prefix for key in deleted for prefix in folded.machine.rows_of_deleted(key)]
    passing = (OUTBOX, *deleted, *unread)
    return {
        key: value
        for key, value in disk.rows.items()
        if not key.startswith(passing) and key != MARKS
    }


def compact(world: "World") -> str:
    """Return the logs, a record a line."""
    lines = []
    for number in range(world.partitions):
        log = world.kafka.log("events", number)
        counted = {offset for offset, _, _ in accepted(log)}
        for record in log.records[-200:]:
            assert record is not None
            kind, fields = decode(record.value or b"")
            mark = " " if record.offset in counted else "x"
            told = (
                f"{mark} {number}@{record.offset} {kind.name} e{fields['epoch']} s{fields['seq']}"
            )
            if kind is CLAIM:
                lines.append(f"{told} {fields['node']}")
            else:
                sources = [f"{s['topic']}={s['position']}" for s in fields["sources"]]  # type: ignore[index,attr-defined]
                ids = [a["command_id"].hex()[:6] for a in fields["answers"]]  # type: ignore[index,attr-defined]
                lines.append(f"{told} {' '.join(sources)} [{' '.join(ids)}]")
    return "\n".join(lines)
