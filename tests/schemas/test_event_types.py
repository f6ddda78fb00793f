"""Event types: our short names are Temporal's numbers."""

from schemas import event_types
from schemas.temporal import enums


def test_every_type_has_its_short_name() -> None:
    """The file lists what the enum lists."""
    theirs = {
        name.removeprefix("EVENT_TYPE_"): number
        for name, number in enums.EventType.items()
        if number
    }
    ours = {name: value for name, value in vars(event_types).items() if name.isupper()}
    assert theirs == ours
