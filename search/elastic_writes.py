"""The changes of a batch on their way to Elasticsearch, and what became of each. Pure."""

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

import msgspec

from search import mapping
from search.bulks import Action
from search.document import Document
from search.store import Batch, Deletion

_encoder = msgspec.json.Encoder()


class Outcome(Enum):
    """What became of one change."""

    DONE = auto()  # it is in, or something newer is
    LATER = auto()  # the cluster has too much to do
    FLAWED = auto()  # its attributes cannot be indexed
    SUPERSEDED = auto()  # the index is no longer the live one


def outcome_of(item: Mapping[str, Any]) -> Outcome:
    """Return what became of a change by its item in the answer to a bulk."""
    status = item["status"]
    if status < 300 or status == 409:
        return Outcome.DONE
    if status == 404:
        return Outcome.SUPERSEDED
    return Outcome.FLAWED if status == 400 else Outcome.LATER


class Writes:
    """The changes of a batch that are not in yet; of each run only the newest."""

    def __init__(self, batch: Batch, now: int) -> None:
        self._documents: dict[str, Document] = {}
        newest: dict[str, Action] = {}
        changes: list[Document | Deletion] = [*batch.documents, *batch.deletions]
        for change in changes:
            key = mapping.id_of(change.namespace_id, change.run_id)
            if key not in newest or newest[key].version < change.version:
                newest[key] = _action(key, change, now)
                if isinstance(change, Document):
                    self._documents[key] = change
        self.pending: list[Action] = list(newest.values())

    def note(self, bulk: Sequence[Action], outcomes: Sequence[Outcome]) -> str:
        """Note what became of the first changes; return why some must wait, if so."""
        rest = self.pending[len(bulk) :]
        again: list[Action] = []
        reason = ""
        for action, outcome in zip(bulk, outcomes, strict=True):
            if outcome is Outcome.LATER:
                again.append(action)
                reason = "the cluster is busy"
            elif outcome is Outcome.FLAWED:
                again.append(self._bare(action))
        self.pending = again + rest
        return reason

    def _bare(self, action: Action) -> Action:
        """Return a change without the attributes that the cluster does not take.

        The run stays findable by what it is, and is shown whole.
        """
        document = self._documents.pop(action.id, None)
        assert document is not None, f"expected a document that can be indexed: {action}"
        source = _encoder.encode(mapping.source_of(document, is_bare=True))
        return action._replace(source=source)


def _action(key: str, change: Document | Deletion, now: int) -> Action:
    if isinstance(change, Deletion):
        return Action(key, change.version, _encoder.encode(mapping.tombstone(now)))
    return Action(key, change.version, _encoder.encode(mapping.source_of(change)))
