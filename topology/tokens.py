"""Opaque tokens that go out and come back: task tokens and page tokens.

MessagePack inside. A token is only a name of what it belongs to; the state decides whether it is
still good.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from topology.effects import TaskKind

_encode = msgspec.msgpack.Encoder().encode


class Token(msgspec.Struct, frozen=True, array_like=True):
    """The token of a started task."""

    namespace_id: str
    workflow_id: str
    run_id: str
    kind: TaskKind
    scheduled_event_id: int
    attempt: int
    started_event_id: int  # of a workflow task; 0 for an activity
    stamp: int
    activity_id: str = ""
    heartbeat_timeout: int = 0  # ns, of an activity; 0: none or unknown (T3)


class QueryToken(msgspec.Struct, frozen=True, array_like=True, tag="query"):
    """The token of a query that a worker was asked (C5): who waits for its answer."""

    namespace_id: str
    partition: int  # of history
    incarnation: bytes  # of the claim it was asked under
    query_id: str


class PageToken(msgspec.Struct, frozen=True, array_like=True):
    """Where the next page of a history begins.

    `next_event_id` is the first event of the next page (forward), or the last one (reverse);
    `end_event_id` is the event id behind the last one to show; `is_waiting` says that the caller
    waits for new events; `transient` holds the scheduled and started event ids that the pages of
    a poll answer end with, where the workflow task is transient.
    """

    namespace_id: str
    run_id: str
    next_event_id: int
    end_event_id: int = 0
    is_waiting: bool = False
    transient: bool = False


T = TypeVar("T", bound=msgspec.Struct)


def pack(token: Token | QueryToken | PageToken) -> bytes:
    """Return the bytes of a token."""
    return _encode(token)


def unpack(packed: bytes) -> Token:
    """Read a task token; raises ValueError on anything else."""
    return _task_token(packed)


def unpack_query(packed: bytes) -> QueryToken:
    """Read the token of a query; raises ValueError on anything else."""
    return _query_token(packed)


def unpack_page(packed: bytes) -> PageToken:
    """Read a page token; raises ValueError on anything else."""
    return _page_token(packed)


def _reader(kind: type[T]) -> Callable[[bytes], T]:
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(packed: bytes) -> T:
        try:
            return decode(packed)
        except msgspec.MsgspecError as error:
            raise ValueError(f"expected a {kind.__name__}, found {packed[:16]!r}") from error

    return read


_task_token = _reader(Token)
_query_token = _reader(QueryToken)
_page_token = _reader(PageToken)
