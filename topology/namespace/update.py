"""UpdateNamespace: what a request changes of a record, part by part; raises InvalidArgument.

What is not set stays. Data, bad binaries and aliases are merged into what is there. What needs no
record to refuse (clusters, another replication state) is refused by the frontend.
"""

from typing import Final

import msgspec
from google.protobuf.duration_pb2 import Duration

from schemas.errors import InvalidArgument
from schemas.instants import span_of, timestamp_of
from schemas.temporal import enums, namespace, service
from topology.namespace import archival
from topology.namespace.archival import Archivals
from topology.namespace.record import NamespaceChanged
from topology.validation import duration_fault

BAD_BINARIES_MAX: Final = 10
_State = enums.NamespaceState
_NEXT: Final = {
    int(_State.NAMESPACE_STATE_REGISTERED): (
        _State.NAMESPACE_STATE_DEPRECATED,
        _State.NAMESPACE_STATE_DELETED,
    ),
    int(_State.NAMESPACE_STATE_DEPRECATED): (_State.NAMESPACE_STATE_DELETED,),
}

Fields = dict[str, object]


class Changes(msgspec.Struct, frozen=True):
    """What requests are held against: a record, the time, what the server offers and allows."""

    held: NamespaceChanged
    now: int
    archivals: Archivals
    retention_min: int

    def of(self, request: service.UpdateNamespaceRequest) -> Fields:
        """Return the fields of the record that a request changes."""
        held, fields = self.held, Fields()
        if request.HasField("update_info"):
            fields |= _about(held, request.update_info)
        if request.HasField("config"):
            fields |= self._config(request.config)
            if request.config.HasField("bad_binaries"):
                fields["bad_binaries"] = _merged(held, request.config.bad_binaries, self.now)
        if checksum := request.delete_bad_binary:
            left = dict(held.bad_binaries)
            if left.pop(checksum, None) is None:
                raise InvalidArgument(f"Bad binary checksum {checksum} doesn't exists.")
            fields["bad_binaries"] = left
        return fields

    def _config(self, given: namespace.NamespaceConfig) -> Fields:
        held, fields = self.held, Fields()
        if given.HasField("workflow_execution_retention_ttl"):
            wanted = given.workflow_execution_retention_ttl
            fields["retention"] = retention_of(wanted, self.retention_min)
        histories = archival.changed(
            held.history_archival,
            given.history_archival_state,
            given.history_archival_uri,
            self.archivals.history,
        )
        records = archival.changed(
            held.visibility_archival,
            given.visibility_archival_state,
            given.visibility_archival_uri,
            self.archivals.visibility,
        )
        fields |= {
            "history_archival_state": histories.state,
            "history_archival_uri": histories.uri,
            "visibility_archival_state": records.state,
            "visibility_archival_uri": records.uri,
        }
        if given.custom_search_attribute_aliases:
            aliases = _aliases(held, dict(given.custom_search_attribute_aliases))
            fields["search_attribute_aliases"] = aliases
        return fields


def retention_of(given: Duration, shortest: int) -> int:
    """Return a retention in ns; raises InvalidArgument."""
    if duration_fault(given) or span_of(given) < shortest:
        raise InvalidArgument("A valid retention period is not set on request.")
    return span_of(given)


def _about(held: NamespaceChanged, given: namespace.UpdateNamespaceInfo) -> Fields:
    fields: Fields = {}
    if given.description:
        fields["description"] = given.description
    if given.owner_email:
        fields["owner_email"] = given.owner_email
    if given.data:
        fields["custom_data"] = {**held.custom_data, **given.data}
    if given.state not in (_State.NAMESPACE_STATE_UNSPECIFIED, held.state):
        if given.state not in _NEXT.get(held.state, ()):
            raise InvalidArgument("Invalid namespace state update.")
        fields["state"] = int(given.state)
    return fields


def _merged(held: NamespaceChanged, given: namespace.BadBinaries, now: int) -> dict[str, bytes]:
    merged = dict(held.bad_binaries)
    for checksum, why in given.binaries.items():
        noted = namespace.BadBinaryInfo(
            reason=why.reason, operator=why.operator, create_time=timestamp_of(now)
        )
        merged[checksum] = noted.SerializeToString()
    if len(merged) > BAD_BINARIES_MAX:
        raise InvalidArgument(
            f"Total resetBinaries cannot exceed the max limit: {BAD_BINARIES_MAX}"
        )
    return merged


def _aliases(held: NamespaceChanged, given: dict[str, str]) -> dict[str, str]:
    """Add aliases of fields that have none; an empty one takes the field's away."""
    merged = dict(held.search_attribute_aliases)
    for field, alias in given.items():
        if not alias:
            merged.pop(field, None)
        elif field in held.search_attribute_aliases:
            raise InvalidArgument("Custom search attribute field name already allocated.")
        else:
            merged[field] = alias
    return merged
