"""FindCoordinator 0-4, JoinGroup 0-9, SyncGroup 0-5, Heartbeat 0-4, LeaveGroup 0-5."""

from collections.abc import Awaitable

from infra.broker.api.call import Answer, Call
from infra.broker.broker import HOST, NODE_ID, Broker
from infra.broker.errors import ErrorCode
from infra.broker.members import JoinAsk, Joined, SyncAsk, Synced
from infra.broker.schema import Message


def find_coordinator(broker: Broker, request: Message, call: Call) -> Message:
    """Name this broker, which coordinates everything."""
    node = {"node_id": NODE_ID, "host": HOST, "port": broker.port}
    if call.version < 4:
        return node
    return {"coordinators": [{"key": key, **node} for key in request["coordinator_keys"]]}


def join_group(broker: Broker, request: Message, call: Call) -> Answer:
    """Join a group and wait for its next generation."""
    session_ms = request["session_timeout_ms"]
    settings = broker.settings
    if not request["group_id"]:
        return _joined(Joined(ErrorCode.INVALID_GROUP_ID, request["member_id"]), call)
    if not settings.min_session_timeout_ms <= session_ms <= settings.max_session_timeout_ms:
        return _joined(Joined(ErrorCode.INVALID_SESSION_TIMEOUT, request["member_id"]), call)
    rebalance_ms = request["rebalance_timeout_ms"]
    ask = JoinAsk(
        member_id=request["member_id"],
        instance_id=request["group_instance_id"],
        client_id=call.client_id,
        protocol_type=request["protocol_type"],
        protocols=tuple((one["name"], one["metadata"]) for one in request["protocols"]),
        session_timeout=session_ms / 1000,
        rebalance_timeout=(rebalance_ms if rebalance_ms > 0 else session_ms) / 1000,
        needs_known_id=call.version >= 4,
        knows_skipping=call.version >= 9,
    )
    answer = broker.groups.join(request["group_id"], ask)
    return _joined(answer.result(), call) if answer.done() else _joined_later(answer, call)


async def _joined_later(answer: Awaitable[Joined], call: Call) -> Message:
    return _joined(await answer, call)


def _joined(joined: Joined, call: Call) -> Message:
    return {
        "error_code": joined.code,
        "generation_id": joined.generation,
        "protocol_type": joined.protocol_type,
        "protocol_name": joined.protocol or ("" if call.version < 7 else None),
        "leader": joined.leader_id,
        "skip_assignment": joined.skips_assignment,
        "member_id": joined.member_id,
        "members": [
            {
                "member_id": member.id,
                "group_instance_id": member.instance_id,
                "metadata": member.metadata,
            }
            for member in joined.members
        ],
    }


def sync_group(broker: Broker, request: Message, _call: Call) -> Answer:
    """Wait for the assignment that the leader brings."""
    ask = SyncAsk(
        request["member_id"],
        request["group_instance_id"],
        request["generation_id"],
        request["protocol_type"],
        request["protocol_name"],
        {one["member_id"]: one["assignment"] for one in request["assignments"]},
    )
    answer = broker.groups.sync(request["group_id"], ask)
    return _synced(answer.result()) if answer.done() else _synced_later(answer)


async def _synced_later(answer: Awaitable[Synced]) -> Message:
    return _synced(await answer)


def _synced(synced: Synced) -> Message:
    return {
        "error_code": synced.code,
        "protocol_type": synced.protocol_type,
        "protocol_name": synced.protocol,
        "assignment": synced.assignment,
    }


def heartbeat(broker: Broker, request: Message, _call: Call) -> Message:
    """Keep a session alive."""
    code = broker.groups.heartbeat(
        request["group_id"],
        request["member_id"],
        request["group_instance_id"],
        request["generation_id"],
    )
    return {"error_code": code}


def leave_group(broker: Broker, request: Message, call: Call) -> Message:
    """Remove members by id or instance; any connection may ask."""
    group = request["group_id"]
    if call.version < 3:
        return {"error_code": broker.groups.leave(group, request["member_id"], None)}
    members = [
        {
            "member_id": one["member_id"],
            "group_instance_id": one["group_instance_id"],
            "error_code": broker.groups.leave(group, one["member_id"], one["group_instance_id"]),
        }
        for one in request["members"]
    ]
    return {"error_code": 0, "members": members}
