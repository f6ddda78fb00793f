"""Words of the group coordinator: a member, what it asks, and the answers it waits for.

An answer is given by calling the reply that came with the question, now or later, exactly once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from infra.broker.errors import ErrorCode


class JoinedMember(NamedTuple):
    """What the leader is told of each member."""

    id: str
    instance_id: str | None
    metadata: bytes


class Joined(NamedTuple):
    """Answer to a join."""

    code: ErrorCode
    member_id: str
    generation: int = -1
    protocol_type: str | None = None
    protocol: str | None = None
    leader_id: str = ""
    members: tuple[JoinedMember, ...] = ()
    skips_assignment: bool = False


class Synced(NamedTuple):
    """Answer to a sync."""

    code: ErrorCode
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


JoinReply: TypeAlias = Callable[[Joined], None]
SyncReply: TypeAlias = Callable[[Synced], None]


class JoinAsk(NamedTuple):
    """A wish to join; timeouts in seconds, protocols in order of preference."""

    member_id: str
    instance_id: str | None
    client_id: str
    protocol_type: str
    protocols: tuple[tuple[str, bytes], ...]
    session_timeout: float
    rebalance_timeout: float
    needs_known_id: bool = True
    """Whether a new dynamic member is first told its id (MEMBER_ID_REQUIRED)."""
    knows_skipping: bool = False
    """Whether a static leader that comes back can be told to leave the assignment as it is."""


class SyncAsk(NamedTuple):
    """A wish for the assignment; the leader brings it."""

    member_id: str
    instance_id: str | None
    generation: int
    protocol_type: str | None
    protocol: str | None
    assignments: dict[str, bytes]


@dataclass(slots=True)
class Member:
    """A member of a group; `deadline` is when its session ends unless it is heard of."""

    id: str
    instance_id: str | None
    client_id: str
    protocols: tuple[tuple[str, bytes], ...]
    session_timeout: float
    rebalance_timeout: float
    deadline: float
    assignment: bytes = b""
    join_reply: JoinReply | None = None
    sync_reply: SyncReply | None = None

    @classmethod
    def of(cls, ask: JoinAsk, member_id: str, now: float) -> "Member":
        """Make a member from what it asked."""
        return cls(
            member_id,
            ask.instance_id,
            ask.client_id,
            ask.protocols,
            ask.session_timeout,
            ask.rebalance_timeout,
            now + ask.session_timeout,
        )

    def update(self, ask: JoinAsk, now: float) -> None:
        """Take over what a member asks anew."""
        self.client_id = ask.client_id
        self.protocols = ask.protocols
        self.session_timeout = ask.session_timeout
        self.rebalance_timeout = ask.rebalance_timeout
        self.touch(now)

    def touch(self, now: float) -> None:
        """Begin the session timeout anew."""
        self.deadline = now + self.session_timeout

    def snapshot(self) -> dict[str, Any]:
        """Return everything that outlives a connection as plain values."""
        return {
            "id": self.id,
            "instance_id": self.instance_id,
            "client_id": self.client_id,
            "protocols": [[name, text.hex()] for name, text in self.protocols],
            "session_timeout": self.session_timeout,
            "rebalance_timeout": self.rebalance_timeout,
            "assignment": self.assignment.hex(),
        }

    @classmethod
    def restored(cls, snapshot: dict[str, Any], now: float) -> "Member":
        """Rebuild from what `snapshot` returned; the session begins anew."""
        protocols = tuple((name, bytes.fromhex(text)) for name, text in snapshot["protocols"])
        assignment = bytes.fromhex(snapshot["assignment"])
        deadline = now + snapshot["session_timeout"]
        fields = {**snapshot, "protocols": protocols, "assignment": assignment}
        return cls(**fields, deadline=deadline)

    def metadata(self, protocol: str | None) -> bytes:
        """Return the member's metadata for a protocol."""
        return next((text for name, text in self.protocols if name == protocol), b"")

    @property
    def is_waiting(self) -> bool:
        """Say whether the member waits for an answer; it cannot send heartbeats then."""
        return self.join_reply is not None or self.sync_reply is not None

    def answer_join(self, joined: Joined) -> None:
        """Answer a waiting join, if there is one."""
        reply, self.join_reply = self.join_reply, None
        if reply is not None:
            reply(joined)

    def answer_sync(self, synced: Synced) -> None:
        """Answer a waiting sync, if there is one."""
        reply, self.sync_reply = self.sync_reply, None
        if reply is not None:
            reply(synced)
