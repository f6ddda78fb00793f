"""What goes into the core and what comes out: asks, facts, decisions.

Plain values only. An `Ask` is a command as the core sees it; a `Decision` is all that it caused.
The engine (`streams/log`) knows these shapes and nothing about workflows.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from schemas.errors import ServiceError
from schemas.temporal import common
from topology.effects import Effect
from topology.namespace.archival import Archival

FOLD_VERSION = 1
"""The meaning of facts written now; a reader that does not know a version stops (L7)."""


class Rows(Protocol):
    """Read access to the rows of one partition, decided ones included in `get`."""

    def get(self, key: bytes) -> bytes | None:
        """Return a row: the newest decided one, else the stored one."""
        ...

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the stored rows whose keys have a prefix, ascending, from `start` on."""
        ...


class Namespace(msgspec.Struct, frozen=True):
    """What a decision may know of a namespace; what it used is recorded in the facts (N1)."""

    id: str
    name: str
    state: int  # temporal.api.enums.v1.NamespaceState
    retention: int  # ns
    search_attributes: dict[str, int] = {}  # custom ones: name to IndexedValueType
    history_archival: Archival = Archival()
    visibility_archival: Archival = Archival()


class Attributes(Protocol):
    """How search attributes are checked; given to the core, which does not know the rules."""

    def checked(
        self, attributes: common.SearchAttributes, namespace: Namespace
    ) -> common.SearchAttributes:
        """Return them with their types' names beside the values; raises InvalidArgument."""
        ...

    def check_size(self, attributes: common.SearchAttributes) -> None:
        """Check their size; raises InvalidArgument."""
        ...


class Unchecked:
    """Takes search attributes as they are."""

    def checked(
        self,
        attributes: common.SearchAttributes,
        namespace: Namespace,  # noqa: ARG002  nothing is checked
    ) -> common.SearchAttributes:
        """Return them."""
        return attributes

    def check_size(self, attributes: common.SearchAttributes) -> None:
        """Any size will do."""


class Ask(msgspec.Struct, frozen=True):
    """One request to decide: a command, or the owner's own work (L0)."""

    method: str
    namespace: Namespace
    workflow_id: str
    request: Any  # the RPC's request message, or a struct of `topology/own_work.py`
    command_id: bytes = b""
    principal: str = ""


class HistoryFact(msgspec.Struct, frozen=True):
    """A public, numbered history event; `body` is the serialized HistoryEvent."""

    event_id: int
    event_type: int
    event_time: int  # ns
    body: bytes


class StateFact(msgspec.Struct, frozen=True):
    """A private fact by name; `body` is the MessagePack of its struct."""

    name: str
    body: bytes


Fact = HistoryFact | StateFact


class Change(msgspec.Struct):
    """The facts of one entity, in order."""

    entity: str  # "workflow", "namespace" or "partition"
    namespace_id: str
    id: str
    run_id: str
    facts: list[Fact]


ReplyBody = bytes | ServiceError | Callable[[Rows], bytes]
"""Response bytes; or an error; or how to build the bytes from the rows once they are stored."""


class Reply(msgspec.Struct):
    """How one command ended: by name for the log (L12), in bytes for its caller."""

    command_id: bytes
    outcome: str
    run_id: str
    body: ReplyBody


class Decision(msgspec.Struct):
    """All that one ask caused. `rows` is what folding `changes` writes (None deletes)."""

    changes: list[Change]
    effects: list[Effect]
    replies: list[Reply]
    rows: dict[bytes, bytes | None]
