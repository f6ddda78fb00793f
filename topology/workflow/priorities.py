"""Priorities: what an activity or a child says, over what its workflow says, field by field.

Histories keep what was said; what holds is worked out where a task is offered or a child begun.
"""

from schemas.temporal import common


def merged(base: bytes, over: bytes) -> common.Priority | None:
    """Return one serialized Priority over another; None: neither says anything."""
    if not base and not over:
        return None
    found = common.Priority.FromString(base)
    found.MergeFromString(over)  # a field of `over` that is zero was not said
    return found


def level(base: bytes, over: bytes = b"") -> int:
    """Return the priority key that holds, 1 (first) to 5; 0: none was said."""
    found = merged(base, over)
    return 0 if found is None else found.priority_key
