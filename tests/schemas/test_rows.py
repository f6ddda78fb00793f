"""Rows: MessagePack arrays behind a version byte."""

import msgspec
import pytest

from schemas.rows import ROW_VERSION, UnknownRowVersion, pack, unpacker


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A row."""

    name: str
    count: int = 0


def test_a_row_survives() -> None:
    """What was packed is unpacked."""
    assert unpacker(Sample)(pack(Sample("a", 3))) == Sample("a", 3)


def test_another_version_is_refused() -> None:
    """A row of a version we do not know is not guessed at."""
    packed = bytes([ROW_VERSION + 1]) + pack(Sample("a"))[1:]
    with pytest.raises(UnknownRowVersion, match="expected row version 2, found 3"):
        unpacker(Sample)(packed)
