"""One classic consumer group.

Empty --join--> PreparingRebalance --all joined, or time up--> CompletingRebalance --leader
syncs--> Stable --join, leave, session over--> PreparingRebalance ...; without members it is Empty.

Pure: time and ids are arguments, answers are calls of the replies given. `is_unsaved` says that
what must survive the broker (generation; members once Stable) changed and the caller should store
it. The rules are those of Kafka's coordinator, with group.initial.rebalance.delay.ms = 0.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from infra.broker.errors import ErrorCode
from infra.broker.members import (
    JoinAsk,
    Joined,
    JoinedMember,
    JoinReply,
    Member,
    SyncAsk,
    Synced,
    SyncReply,
)

EMPTY, PREPARING, COMPLETING = "Empty", "PreparingRebalance", "CompletingRebalance"
STABLE, DEAD = "Stable", "Dead"


class Group:
    """Members, their generation, and the rebalance under way."""

    def __init__(self, name: str, make_id: Callable[[str], str]) -> None:
        self.name = name
        self._make_id = make_id
        self.state = EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol: str | None = None
        self.leader_id = ""
        self.members: dict[str, Member] = {}
        self.emptied_ms = 0
        self.is_unsaved = False
        self._static: dict[str, str] = {}
        self._announced: dict[str, float] = {}
        self._rebalance_deadline = 0.0

    # Joining

    def join(self, ask: JoinAsk, now: float, reply: JoinReply) -> None:
        """Take a member in, new or known; the answer comes when the rebalance is complete."""
        if not self._is_consistent(ask):
            reply(Joined(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, ask.member_id))
        elif ask.member_id:
            self._rejoin(ask, now, reply)
        elif ask.instance_id is not None and ask.instance_id in self._static:
            self._replace_static(ask, now, reply)
        elif ask.instance_id is None and ask.needs_known_id:
            member_id = self._make_id(ask.client_id)
            self._announced[member_id] = now + ask.session_timeout
            reply(Joined(ErrorCode.MEMBER_ID_REQUIRED, member_id))
        else:
            self._add(ask, self._make_id(ask.instance_id or ask.client_id), now, reply)

    def _is_consistent(self, ask: JoinAsk) -> bool:
        """Say whether the others share the protocol type and one protocol."""
        if not ask.protocols or not ask.protocol_type:
            return False
        if not self.members:
            return True
        names = {name for name, _ in ask.protocols}
        return ask.protocol_type == self.protocol_type and bool(names & self._common_protocols())

    def _common_protocols(self) -> set[str]:
        return set.intersection(
            *({name for name, _ in member.protocols} for member in self.members.values())
        )

    def _add(self, ask: JoinAsk, member_id: str, now: float, reply: JoinReply) -> None:
        self._announced.pop(member_id, None)
        member = self.members[member_id] = Member.of(ask, member_id, now)
        if ask.instance_id is not None:
            self._static[ask.instance_id] = member_id
        self.protocol_type = ask.protocol_type
        member.join_reply = reply
        self._rebalance(now)

    def _rejoin(self, ask: JoinAsk, now: float, reply: JoinReply) -> None:
        """Take a join that carries a member id."""
        if ask.member_id in self._announced and ask.instance_id is None:
            self._add(ask, ask.member_id, now, reply)
            return
        code = self._identity_error(ask.member_id, ask.instance_id)
        if code:
            reply(Joined(code, ask.member_id))
            return
        member = self.members[ask.member_id]
        is_changed = member.protocols != ask.protocols
        is_leader = member.id == self.leader_id
        member.update(ask, now)
        if self.state == PREPARING:
            self._park(member, reply)
            self._complete_if_all_joined(now)
        elif is_changed or (self.state == STABLE and is_leader):
            self._park(member, reply)
            self._rebalance(now)
        else:
            reply(self._joined(member))

    @staticmethod
    def _park(member: Member, reply: JoinReply) -> None:
        member.answer_join(Joined(ErrorCode.REBALANCE_IN_PROGRESS, member.id))
        member.join_reply = reply

    def _replace_static(self, ask: JoinAsk, now: float, reply: JoinReply) -> None:
        """A static member comes back without its id: it gets a new one and its old place."""
        assert ask.instance_id is not None
        old = self.members.pop(self._static[ask.instance_id])
        old.answer_join(Joined(ErrorCode.FENCED_INSTANCE_ID, old.id))
        old.answer_sync(Synced(ErrorCode.FENCED_INSTANCE_ID))
        member = Member.of(ask, self._make_id(ask.instance_id), now)
        member.assignment = old.assignment
        self.members[member.id] = member
        self._static[ask.instance_id] = member.id
        was_leader = self.leader_id == old.id
        if was_leader:
            self.leader_id = member.id
        if self.state == STABLE and member.protocols == old.protocols:
            self.is_unsaved = True
            reply(self._rejoined(member, old.id, ask, was_leader=was_leader))
            return
        member.join_reply = reply
        self._rebalance(now)

    def _rejoined(self, member: Member, old_id: str, ask: JoinAsk, *, was_leader: bool) -> Joined:
        """Answer without a rebalance; a leader must not assign again, told so or by the old id."""
        if not was_leader:
            return self._joined(member)
        if ask.knows_skipping:
            return self._joined(member)._replace(skips_assignment=True)
        return self._joined(member)._replace(leader_id=old_id, members=())

    def _joined(self, member: Member) -> Joined:
        """Answer a join with the generation as it is; the leader is told who the members are."""
        members: tuple[JoinedMember, ...] = ()
        if member.id == self.leader_id:
            members = tuple(
                JoinedMember(one.id, one.instance_id, one.metadata(self.protocol))
                for one in self.members.values()
            )
        return Joined(
            ErrorCode.NONE,
            member.id,
            self.generation,
            self.protocol_type,
            self.protocol,
            self.leader_id,
            members,
        )

    # Rebalance

    def _rebalance(self, now: float) -> None:
        """Begin a rebalance, or see whether the one under way is complete."""
        was_empty = self.state == EMPTY
        if self.state != PREPARING:
            for member in self.members.values():
                member.answer_sync(Synced(ErrorCode.REBALANCE_IN_PROGRESS))
            self.state = PREPARING
            self._rebalance_deadline = now + self._longest_rebalance()
        if was_empty:
            self._complete(now)
        else:
            self._complete_if_all_joined(now)

    def _longest_rebalance(self) -> float:
        return max((member.rebalance_timeout for member in self.members.values()), default=0.0)

    def _complete_if_all_joined(self, now: float) -> None:
        is_waited_for = self._announced or any(
            member.join_reply is None for member in self.members.values()
        )
        if not is_waited_for:
            self._complete(now)

    def _complete(self, now: float) -> None:
        """Begin a new generation with those who joined; static members keep their place."""
        for member in list(self.members.values()):
            if member.join_reply is None and member.instance_id is None:
                del self.members[member.id]
        joined = [member for member in self.members.values() if member.join_reply is not None]
        if not self.members:
            self._become_empty()
            return
        if not joined:
            self._rebalance_deadline = now + self._longest_rebalance()
            return
        self.generation += 1
        self.is_unsaved = True
        self.state = COMPLETING
        self._rebalance_deadline = now + self._longest_rebalance()
        self.protocol = self._voted()
        if self.leader_id not in {member.id for member in joined}:
            self.leader_id = joined[0].id
        for member in joined:
            member.touch(now)
            member.answer_join(self._joined(member))

    def _voted(self) -> str:
        """Return the protocol that most members prefer of those all have."""
        common = self._common_protocols()
        votes = Counter(
            next(name for name, _ in member.protocols if name in common)
            for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def _become_empty(self) -> None:
        self.state = EMPTY
        self.generation += 1
        self.leader_id, self.protocol = "", None
        self.emptied_ms = 0
        self.is_unsaved = True

    def sync(self, ask: SyncAsk, now: float, reply: SyncReply) -> None:
        """Answer with the assignment once the leader has brought it."""
        code = self._identity_error(ask.member_id, ask.instance_id)
        code = code or self._sync_error(ask)
        if code:
            reply(Synced(code))
            return
        member = self.members[ask.member_id]
        member.touch(now)
        if self.state == STABLE:
            reply(self._synced(member))
            return
        member.answer_sync(Synced(ErrorCode.REBALANCE_IN_PROGRESS))
        member.sync_reply = reply
        if member.id == self.leader_id:
            self._assign(ask.assignments, now)

    def _sync_error(self, ask: SyncAsk) -> ErrorCode:
        if ask.generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        is_other_type = ask.protocol_type not in (None, self.protocol_type)
        if is_other_type or ask.protocol not in (None, self.protocol):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        return ErrorCode.REBALANCE_IN_PROGRESS if self.state == PREPARING else ErrorCode.NONE

    def _assign(self, assignments: dict[str, bytes], now: float) -> None:
        self.state = STABLE
        self.is_unsaved = True
        for member in self.members.values():
            member.assignment = assignments.get(member.id, b"")
            if member.sync_reply is not None:
                member.touch(now)
            member.answer_sync(self._synced(member))

    def _synced(self, member: Member) -> Synced:
        return Synced(ErrorCode.NONE, self.protocol_type, self.protocol, member.assignment)

    # Life of a member

    def _identity_error(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """Return why a member is not who it says."""
        if instance_id is not None:
            known = self._static.get(instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if known != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def check(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """Return why a member of this generation is not one."""
        code = self._identity_error(member_id, instance_id)
        if not code and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return code

    def heartbeat(
        self, member_id: str, instance_id: str | None, generation: int, now: float
    ) -> ErrorCode:
        """Keep a session alive, and tell the member of a rebalance."""
        code = self.check(member_id, instance_id, generation)
        if code:
            return code
        self.members[member_id].touch(now)
        return ErrorCode.REBALANCE_IN_PROGRESS if self.state == PREPARING else ErrorCode.NONE

    def check_commit(
        self, member_id: str, instance_id: str | None, generation: int, now: float
    ) -> ErrorCode:
        """Return why offsets may not be committed; members may until their generation is over."""
        if generation < 0 and not member_id and not self.members:
            return ErrorCode.NONE
        code = self.check(member_id, instance_id, generation)
        if code:
            return code
        self.members[member_id].touch(now)
        return ErrorCode.REBALANCE_IN_PROGRESS if self.state == COMPLETING else ErrorCode.NONE

    def leave(self, member_id: str, instance_id: str | None, now: float) -> ErrorCode:
        """Remove a member, whoever asks for it."""
        if member_id in self._announced:
            del self._announced[member_id]
            if self.state == PREPARING:
                self._complete_if_all_joined(now)
            return ErrorCode.NONE
        if instance_id is not None and not member_id:
            member_id = self._static.get(instance_id, "")
        code = self._identity_error(member_id, instance_id)
        if not code:
            self._remove(self.members[member_id], now)
        return code

    def _remove(self, member: Member, now: float) -> None:
        del self.members[member.id]
        if member.instance_id is not None:
            del self._static[member.instance_id]
        member.answer_join(Joined(ErrorCode.UNKNOWN_MEMBER_ID, member.id))
        member.answer_sync(Synced(ErrorCode.UNKNOWN_MEMBER_ID))
        if not self.members:
            self._become_empty()
        else:
            self._rebalance(now)

    # Time

    def next_deadline(self) -> float | None:
        """Return when `tick` should be called; None while nothing can run out."""
        instants = list(self._announced.values())
        instants += [one.deadline for one in self.members.values() if not one.is_waiting]
        if self.state in (PREPARING, COMPLETING):
            instants.append(self._rebalance_deadline)
        return min(instants, default=None)

    def tick(self, now: float) -> None:
        """Do what is due: end sessions, forget ids never used, end a rebalance that is too long."""
        for member_id in [key for key, at in self._announced.items() if at <= now]:
            del self._announced[member_id]
        for member in list(self.members.values()):
            if not member.is_waiting and member.deadline <= now and member.id in self.members:
                self._remove(member, now)
        if self.state == PREPARING and self.members:
            if self._rebalance_deadline <= now:
                self._complete(now)
            else:
                self._complete_if_all_joined(now)
        elif self.state == COMPLETING and self._rebalance_deadline <= now:
            self._drop_unsynced(now)

    def _drop_unsynced(self, now: float) -> None:
        """Remove members that joined but never asked for their assignment."""
        late = [member for member in self.members.values() if member.sync_reply is None]
        for member in late:
            self._remove(member, now)
        if self.state == COMPLETING:
            self._rebalance(now)

    # Storage

    def snapshot(self) -> dict[str, Any]:
        """Return what survives the broker: the generation, and the members of a Stable group."""
        members = self.members.values() if self.state == STABLE else ()
        return {
            "generation": self.generation,
            "protocol_type": self.protocol_type,
            "protocol": self.protocol,
            "leader_id": self.leader_id,
            "emptied_ms": self.emptied_ms,
            "members": [member.snapshot() for member in members],
        }

    def restore(self, snapshot: dict[str, Any], now: float) -> None:
        """Take over what `snapshot` returned; sessions begin anew."""
        self.generation = snapshot["generation"]
        self.protocol_type = snapshot["protocol_type"]
        self.emptied_ms = snapshot["emptied_ms"]
        for fields in snapshot["members"]:
            member = Member.restored(fields, now)
            self.members[member.id] = member
            if member.instance_id is not None:
                self._static[member.instance_id] = member.id
        if self.members:
            self.state = STABLE
            self.protocol, self.leader_id = snapshot["protocol"], snapshot["leader_id"]
