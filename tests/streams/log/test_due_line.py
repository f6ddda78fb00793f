"""Due rows: found oldest first, in bounded batches, each once; late ones below the cursor, too."""

from streams.log.due_line import DueLine
from streams.log.layers import Layers
from tests.simulation.stores import Disk, SimStore
from tests.support.log_toy import Toy


class Scene:
    """A line over a store."""

    def __init__(self) -> None:
        self.layers = Layers(SimStore(Disk(), lambda: True, lambda: None))
        self.machine = Toy(self.layers)
        self.line = DueLine(b"d")
        self.line.begin()

    def write(self, *dues: tuple[int, str]) -> None:
        """Store due rows."""
        rows: dict[bytes, bytes | None] = {
            b"d" + at.to_bytes(8) + name.encode(): b"" for at, name in dues
        }
        self.layers.store.write(rows)
        self.line.on_written(rows)

    def found(self, now: int, limit: int = 10) -> list[str]:
        """Return what is due."""
        due = self.line.find(self.machine, self.layers, now=now, limit=limit)
        return [ask.workflow_id for _, ask in due]


def test_what_is_due_is_found_once_and_in_order() -> None:
    """In batches of the size asked for."""
    scene = Scene()
    scene.write((3, "c"), (1, "a"), (2, "b"), (9, "z"))
    assert scene.found(5, limit=2) == ["a", "b"]
    assert scene.line.is_due(5)
    assert scene.found(5, limit=2) == ["c"]
    assert scene.found(5) == []
    assert scene.line.next_at == 9
    assert not scene.line.is_due(8)


def test_a_row_below_the_cursor_is_found() -> None:
    """It sets the cursor back."""
    scene = Scene()
    scene.write((5, "b"))
    assert scene.found(5) == ["b"]
    scene.write((4, "a"))
    assert scene.found(5) == ["a", "b"]


def test_a_rescan_finds_again() -> None:
    """What was found and could not be decided is found again."""
    scene = Scene()
    scene.write((1, "a"), (2, "b"))
    assert scene.found(5) == ["a", "b"]
    scene.line.rescan()
    assert scene.found(5) == ["a", "b"]
