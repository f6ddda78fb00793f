"""What happened in one partition, counted: plain numbers, read by metrics and tests."""

import msgspec


class Counts(msgspec.Struct):
    """Counts since the partition was opened."""

    accepted: int = 0
    """Records accepted, claims included."""
    appends: int = 0
    commands: int = 0
    refused: int = 0
    repeats: int = 0
    """Commands answered again (L12)."""
    late: int = 0
    """Commands of an older claim behind the newest one (L12)."""
    poison: int = 0
    oversize: int = 0
    stale: int = 0
    """Wake-ups of something gone."""
    misrouted: int = 0
    """Commands of clients on the wrong partition (L11)."""
    forwards_ignored: int = 0
    """Forwards that were taken before, or that came before the ones in front of them (L16)."""
    claims: int = 0
    claims_lost: int = 0
    fenced: int = 0
    unknown: int = 0
    """Appends with an unknown outcome (L4)."""
    rewinds: int = 0
    """Batches refused because one before them is missing (L10)."""
    early: int = 0
    """Batches that came while the partition was not served."""
    discards: int = 0
    """Stores of another log (L6)."""
