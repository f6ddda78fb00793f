"""All groups: time, storage and futures around the pure `Group`."""

import asyncio
import time
import uuid
from typing import TypeVar

from infra.broker.errors import ErrorCode
from infra.broker.groups import DEAD, EMPTY, Group
from infra.broker.members import JoinAsk, Joined, SyncAsk, Synced
from infra.broker.offsets import CommittedOffsets
from infra.broker.store import Store

_Answer = TypeVar("_Answer", Joined, Synced)


def _new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4()}"


class Groups:
    """The group coordinator."""

    def __init__(self, store: Store, offsets: CommittedOffsets) -> None:
        self._store = store
        self._offsets = offsets
        self._by_name: dict[str, Group] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Restore the groups as they were; needs a running loop."""
        now = asyncio.get_running_loop().time()
        for name, snapshot in self._store.groups():
            group = self._by_name[name] = Group(name, _new_id)
            group.restore(snapshot, now)
            self._settle(group)

    def find(self, name: str) -> Group | None:
        """Return a group that has members or had some."""
        return self._by_name.get(name)

    def state_of(self, name: str) -> str:
        """Return the state of a group; one that only has offsets is Empty."""
        group = self._by_name.get(name)
        if group is not None:
            return group.state
        return EMPTY if self._offsets.of(name) else DEAD

    def names(self) -> list[str]:
        """Return the names of all groups, those with offsets only included."""
        return list(dict.fromkeys([*self._by_name, *self._offsets.by_group]))

    def join(self, name: str, ask: JoinAsk) -> asyncio.Future[Joined]:
        """Join a group; a member id that the broker never gave creates none."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Joined] = loop.create_future()
        group = self._by_name.get(name)
        if group is None:
            if ask.member_id:
                answer.set_result(Joined(ErrorCode.UNKNOWN_MEMBER_ID, ask.member_id))
                return answer
            group = self._by_name[name] = Group(name, _new_id)
        group.join(ask, loop.time(), lambda joined: _resolve(answer, joined))
        self._settle(group)
        return answer

    def sync(self, name: str, ask: SyncAsk) -> asyncio.Future[Synced]:
        """Ask for the assignment."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Synced] = loop.create_future()
        group = self._by_name.get(name)
        if group is None:
            answer.set_result(Synced(ErrorCode.UNKNOWN_MEMBER_ID))
            return answer
        group.sync(ask, loop.time(), lambda synced: _resolve(answer, synced))
        self._settle(group)
        return answer

    def heartbeat(
        self, name: str, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode:
        """Keep a session alive."""
        group = self._by_name.get(name)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        now = asyncio.get_running_loop().time()
        return group.heartbeat(member_id, instance_id, generation, now)

    def leave(self, name: str, member_id: str, instance_id: str | None) -> ErrorCode:
        """Remove a member."""
        group = self._by_name.get(name)
        if group is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        code = group.leave(member_id, instance_id, asyncio.get_running_loop().time())
        self._settle(group)
        return code

    def check_commit(
        self, name: str, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode:
        """Return why a member may not commit offsets."""
        group = self._by_name.get(name)
        if group is None:
            return ErrorCode.NONE if generation < 0 else ErrorCode.ILLEGAL_GENERATION
        now = asyncio.get_running_loop().time()
        return group.check_commit(member_id, instance_id, generation, now)

    def check_txn_commit(
        self, name: str, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode:
        """Return why offsets may not go into a transaction; producers need not be members."""
        if generation < 0 and not member_id and instance_id is None:
            return ErrorCode.NONE
        group = self._by_name.get(name)
        if group is None:
            return ErrorCode.ILLEGAL_GENERATION
        return group.check(member_id, instance_id, generation)

    def delete(self, name: str) -> ErrorCode:
        """Forget a group without members, and its offsets."""
        group = self._by_name.get(name)
        if group is None and not self._offsets.of(name):
            return ErrorCode.GROUP_ID_NOT_FOUND
        if group is not None and group.members:
            return ErrorCode.GROUP_NOT_EMPTY
        self._store.delete_group(name)
        self._by_name.pop(name, None)
        self._offsets.delete_group(name)
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        return ErrorCode.NONE

    def expire(self, before_ms: int) -> None:
        """Forget offsets committed before an instant by groups that were left before it, too."""
        for name in self.names():
            group = self._by_name.get(name)
            if group is not None and (group.state != EMPTY or group.emptied_ms >= before_ms):
                continue
            expired = self._offsets.expired(name, before_ms)
            if len(expired) == len(self._offsets.of(name)):
                self.delete(name)
            elif expired:
                self._offsets.delete(name, expired)

    def _settle(self, group: Group) -> None:
        """Store what changed and set the timer; answers given leave only after this."""
        if group.state == EMPTY and not group.emptied_ms:
            group.emptied_ms = time.time_ns() // 1_000_000
        if group.is_unsaved:
            self._store.save_group(group.name, group.snapshot())
            group.is_unsaved = False
        deadline = group.next_deadline()
        timer = self._timers.pop(group.name, None)
        if timer is not None:
            timer.cancel()
        if deadline is not None:
            loop = asyncio.get_running_loop()
            self._timers[group.name] = loop.call_at(deadline, self._tick, group)

    def _tick(self, group: Group) -> None:
        group.tick(asyncio.get_running_loop().time())
        self._settle(group)


def _resolve(answer: asyncio.Future[_Answer], value: _Answer) -> None:
    """Answer, unless the client is gone."""
    if not answer.done():
        answer.set_result(value)
