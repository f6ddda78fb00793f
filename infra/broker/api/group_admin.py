"""DescribeGroups 0-5, ListGroups 0-5, DeleteGroups 0-2: groups seen from outside."""

from infra.broker.api.call import Call
from infra.broker.broker import HOST, Broker
from infra.broker.groups import Group
from infra.broker.members import Member
from infra.broker.schema import Message

_CONSUMER, _CLASSIC = "consumer", "classic"


def describe_groups(broker: Broker, request: Message, _call: Call) -> Message:
    """Describe groups; one that does not exist is Dead."""
    return {"groups": [_described(broker, name) for name in request["groups"]]}


def _described(broker: Broker, name: str) -> Message:
    group = broker.groups.find(name)
    members = list(group.members.values()) if group else []
    return {
        "error_code": 0,
        "group_id": name,
        "group_state": broker.groups.state_of(name),
        "protocol_type": group.protocol_type if group else "",
        "protocol_data": (group.protocol or "") if group else "",
        "members": [_member(group, member) for member in members if group],
    }


def _member(group: Group, member: Member) -> Message:
    return {
        "member_id": member.id,
        "group_instance_id": member.instance_id,
        "client_id": member.client_id,
        "client_host": f"/{HOST}",
        "member_metadata": member.metadata(group.protocol),
        "member_assignment": member.assignment,
    }


def list_groups(broker: Broker, request: Message, _call: Call) -> Message:
    """List groups, of some states and types if asked."""
    states = {state.lower() for state in request["states_filter"]}
    types = {kind.lower() for kind in request["types_filter"]}
    if types and _CLASSIC not in types:
        return {"groups": []}
    groups = [_listed(broker, name) for name in broker.groups.names()]
    return {"groups": [one for one in groups if not states or one["group_state"].lower() in states]}


def _listed(broker: Broker, name: str) -> Message:
    group = broker.groups.find(name)
    return {
        "group_id": name,
        "protocol_type": group.protocol_type if group else _CONSUMER,
        "group_state": broker.groups.state_of(name),
        "group_type": _CLASSIC,
    }


def delete_groups(broker: Broker, request: Message, _call: Call) -> Message:
    """Delete groups without members, and their offsets."""
    return {
        "results": [
            {"group_id": name, "error_code": broker.groups.delete(name)}
            for name in request["groups_names"]
        ]
    }
