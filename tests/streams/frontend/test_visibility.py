"""The RPCs of search on stand-ins: what they ask of the namespace, the index and the log."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from schemas.errors import InvalidArgument, Unavailable
from schemas.temporal import operator, service
from search.attributes import Value
from search.query.expressions import Query
from search.query.resolve import Names
from search.store import Page
from streams.frontend import visibility
from streams.frontend.services import Services
from streams.positions import Wanted
from streams.search import PartitionLag
from streams.visibility.rebuild import Progress
from tests.streams.frontend.stubs import DEFAULT, StubCall, World, always
from topology.decision import Namespace

KEYWORD = 2
WITH_PURCHASE = msgspec.structs.replace(DEFAULT, search_attributes={"Purchase": KEYWORD})


class StubSearch:
    """An index that finds nothing, and remembers what was asked."""

    def __init__(self) -> None:
        self.queries: list[Query] = []
        self.waited: list[Wanted] = []
        self.added: list[Mapping[str, int]] = []
        self.is_away = False

    def names(self, namespace: Namespace) -> Names:
        """Those of the namespace."""
        return Names(namespace.search_attributes)

    async def list(self, namespace: Namespace, query: Query, size: int, token: bytes) -> Page:
        """Nothing."""
        assert (namespace.name, token) == ("default", b"")
        assert size
        self.queries.append(query)
        return Page(())

    async def count(self, _namespace: Namespace, query: Query) -> int:
        """Nothing."""
        self.queries.append(query)
        return 0

    async def count_groups(self, _namespace: Namespace, query: Query) -> dict[Value, int]:
        """Nothing."""
        self.queries.append(query)
        return {}

    async def add_attributes(self, _namespace: Namespace, added: Mapping[str, int]) -> None:
        """Make fields, unless it is away."""
        if self.is_away:
            raise Unavailable("the store is away")
        self.added.append(added)

    async def wait(self, wanted: Wanted, *, timeout_s: float) -> None:
        """It is there already."""
        assert timeout_s > 0
        self.waited.append(wanted)

    async def lag(self) -> tuple[PartitionLag, ...]:
        """None."""
        return ()

    def rebuild(self) -> Progress:
        """One that has begun."""
        return Progress()

    progress = None


class Desk:
    """A frontend with a search."""

    def __init__(self) -> None:
        self.world = World()
        self.search = StubSearch()

    def services(self) -> Services:
        """What functions are given."""
        made = self.world.services()
        object.__setattr__(made, "search", self.search)
        return made

    async def call(self, function: Any, request: Any, *metadata: tuple[str, str]) -> bytes:
        """Call a function."""
        call = StubCall(request.SerializeToString(), metadata=metadata)
        answer: bytes = await function(self.services(), call)
        return answer


@pytest.mark.parametrize("is_away", [False, True])
async def test_added_attributes_are_answered_with_an_empty_message(*, is_away: bool) -> None:
    """Whatever the namespace's partition answers inwardly; a store that is away holds up nobody."""
    desk = Desk()
    desk.search.is_away = is_away
    desk.world.gateway.answer = always((7).to_bytes(8))
    desk.world.namespaces.unread = {"default": WITH_PURCHASE}
    request = operator.AddSearchAttributesRequest(namespace="default")
    request.search_attributes["Purchase"] = KEYWORD  # type: ignore[assignment]  # an int
    answer = await desk.call(visibility.add_search_attributes, request)
    assert operator.AddSearchAttributesResponse.FromString(answer).ByteSize() == 0
    assert desk.search.added == ([] if is_away else [{"Purchase": KEYWORD}])


async def test_removed_attributes_are_answered_with_an_empty_message() -> None:
    """Once the namespace has them no longer."""
    desk = Desk()
    desk.world.gateway.answer = always((7).to_bytes(8))
    desk.world.namespaces.seen = {"default": WITH_PURCHASE}
    desk.world.namespaces.unread = {"default": DEFAULT}
    request = operator.RemoveSearchAttributesRequest(namespace="default")
    request.search_attributes.append("Purchase")
    answer = await desk.call(visibility.remove_search_attributes, request)
    assert operator.RemoveSearchAttributesResponse.FromString(answer).ByteSize() == 0


async def test_n1_a_name_is_unknown_only_after_reading_the_namespaces_to_their_end() -> None:
    """An attribute that was added through another node can be named at once."""
    desk = Desk()
    desk.world.namespaces.unread = {"default": WITH_PURCHASE}
    request = service.ListWorkflowExecutionsRequest(namespace="default", query="Purchase = 'x'")
    await desk.call(visibility.list_workflows, request)
    assert len(desk.search.queries) == 1
    request.query = "Unknown = 'x'"
    with pytest.raises(InvalidArgument, match="'Unknown' is not a valid search attribute"):
        await desk.call(visibility.list_workflows, request)


@pytest.mark.parametrize(
    ("positions", "wanted"),
    [
        ((), []),
        (("3:17",), [Wanted({3: 17}, is_newest=False)]),
        (("3:17, 3:16,0:4", "newest"), [Wanted({3: 17, 0: 4}, is_newest=True)]),
    ],
)
async def test_a_count_waits_for_the_positions_it_carries(
    positions: tuple[str, ...], wanted: list[Wanted]
) -> None:
    """The highest of each partition; without any it does not wait."""
    desk = Desk()
    metadata = [("millrace-position", each) for each in positions]
    request = service.CountWorkflowExecutionsRequest(namespace="default")
    await desk.call(visibility.count, request, *metadata)
    assert desk.search.waited == wanted


@pytest.mark.parametrize("position", ["", "3", "3:x", "-1:2", "newest!"])
async def test_what_is_no_position_is_refused(position: str) -> None:
    """In words that name it."""
    desk = Desk()
    request = service.CountWorkflowExecutionsRequest(namespace="default")
    with pytest.raises(InvalidArgument, match="expected a position of millrace-position"):
        await desk.call(visibility.count, request, ("millrace-position", position))
