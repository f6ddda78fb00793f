"""What happened at a matching node, counted: plain numbers, read by metrics and tests."""

import msgspec


class Counts(msgspec.Struct):
    """Counts since the node was made."""

    sync_matches: int = 0
    """Tasks started past `tasks`."""
    backlog_matches: int = 0
    """Tasks of the backlog started."""
    obsolete: int = 0
    """Tasks that history refused."""
    not_started: int = 0
    """Matches that history could not be asked about."""
    handed_back: int = 0
    """Started tasks whose poll was gone (M2)."""
    left_sticky: int = 0
    """Tasks of dead sticky queues that history was told about (M3)."""
    queries: int = 0
    """Queries given to polls."""
    expired: int = 0
    """Tasks dropped because their time was over."""
    empty_polls: int = 0
    """Polls answered empty."""
    appends: int = 0
    """Appends to `tasks`, each of one or more records."""
    records: int = 0
    """Records in them, tombstones included."""
