"""What every core test gets; after each one the log is folded from nothing and compared."""

from collections.abc import Iterator

import pytest

from tests.support.core import Desk
from tests.support.core_scene import Scene


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Everybody around one partition."""
    made = Desk()
    yield made
    made.check()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A desk that keeps a record in the form of the golden recordings."""
    made = Scene()
    yield made
    made.check()
