"""What only the Elasticsearch store has: bulks that adapt, faults, an index that fits."""

import json
import urllib.request
from collections.abc import Iterator

import msgspec
import pytest

from schemas.errors import Unavailable
from search import mapping
from search.attributes import Attribute, ValueType
from search.bulks import Action, BulkSize
from search.elastic import ElasticStore
from search.elastic_writes import Outcome, Writes, outcome_of
from search.settings import ElasticSettings
from search.store import Batch, Cursor
from tests.search.conftest import elastic_settings
from tests.search.test_store import EVERYTHING, run
from tests.support.elastic_faults import Faults, standing_before
from tests.support.search_samples import NAMESPACE


@pytest.fixture
def faults(elastic_url: str) -> Iterator[Faults]:
    """A stand-in before the real cluster."""
    with standing_before(elastic_url) as server:
        yield server


@pytest.mark.real
@pytest.mark.parametrize("answers", [[429], [503, 429, 500], [0], [0, 429, 0]])
def test_a_busy_or_broken_cluster_is_waited_for(faults: Faults, answers: list[int]) -> None:
    """Refusals, errors and reset connections lose nothing and double nothing."""
    waits: list[float] = []
    store = ElasticStore(elastic_settings(faults.url), sleep=waits.append)
    generation = store.position().generation
    faults.answers = list(answers)
    store.write(Batch([run(number) for number in range(600)], cursors={0: Cursor(9)}), generation)
    store.refresh()
    assert store.count(NAMESPACE, EVERYTHING) == 600
    assert {0: Cursor(9)} == dict(store.position().cursors)
    assert len(answers) == len(waits)
    store.close()


@pytest.mark.real
def test_patience_ends(faults: Faults) -> None:
    """Then it is Unavailable, and the cursor stays where it was."""
    settings = msgspec.structs.replace(elastic_settings(faults.url), write_timeout_s=0.0)
    store = ElasticStore(settings, sleep=lambda _: None)
    generation = store.position().generation
    faults.answers = [429]
    with pytest.raises(Unavailable, match="2 changes wait"):
        store.write(Batch([run(1), run(2)], cursors={0: Cursor(9)}), generation)
    assert {} == dict(store.position().cursors)
    store.close()


def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    """Opening asks nothing; the first question says it, and health does not raise."""
    store = ElasticStore(ElasticSettings(urls=("http://127.0.0.1:9",)), sleep=lambda _: None)
    with pytest.raises(Unavailable, match="VisibilityStore"):
        store.count(NAMESPACE, EVERYTHING)
    assert not store.health().is_serving
    store.close()


@pytest.mark.real
def test_attributes_that_cannot_be_indexed_do_not_hold_up_the_rest(elastic_url: str) -> None:
    """The run is found by what it is and shown whole; what comes after it is indexed."""
    store = ElasticStore(elastic_settings(elastic_url), sleep=lambda _: None)
    too_long = run(1, attributes={"Customer": Attribute(ValueType.KEYWORD, ("x" * 40_000,))})
    store.write(Batch([too_long, run(2)]), store.position().generation)
    store.refresh()
    assert (run(2), too_long) == store.list(NAMESPACE, EVERYTHING, 9).documents
    store.close()


@pytest.mark.real
def test_the_index_is_sorted_as_lists_are(elastic_url: str) -> None:
    """A page in the default order reads the beginning of the index."""
    store = ElasticStore(elastic_settings(elastic_url))
    generation = store.position().generation
    with urllib.request.urlopen(f"{elastic_url}/{generation}/_settings") as answer:
        held = json.load(answer)[generation]["settings"]["index"]
    assert ["CloseTime", "StartTime", "RunId"] == held["sort"]["field"]
    assert held["refresh_interval"] == "100ms"
    store.close()


@pytest.mark.real
def test_two_nodes_share_the_store(elastic_url: str) -> None:
    """What one adds the other lists; when one replaces the index the other follows."""
    settings = elastic_settings(elastic_url)
    one, other = ElasticStore(settings), ElasticStore(settings)
    one.write(Batch([run(1)]), one.position().generation)
    one.refresh()
    assert (run(1),) == other.list(NAMESPACE, EVERYTHING, 9).documents
    rebuilt = one.beside()
    rebuilt.write(Batch([run(2)]), rebuilt.position().generation)
    one.replace_by(rebuilt)
    assert (run(2),) == other.list(NAMESPACE, EVERYTHING, 9).documents
    assert one.position() == other.position()
    one.close()
    other.close()


@pytest.mark.real
def test_what_a_killed_rebuild_left_goes_with_the_next_one(elastic_url: str) -> None:
    """But not the index of another installation whose name begins alike."""
    settings = elastic_settings(elastic_url)
    store = ElasticStore(settings)
    other = ElasticStore(msgspec.structs.replace(settings, index=f"{settings.index}-other"))
    for each in (store, other):
        each.write(Batch([run(1)]), each.position().generation)
        each.refresh()
    first = store.beside()
    first.write(Batch([run(2)]), first.position().generation)
    first.close()  # killed
    second = store.beside()
    second.refresh()
    assert second.count(NAMESPACE, EVERYTHING) == 0
    assert (run(1),) == other.list(NAMESPACE, EVERYTHING, 9).documents
    store.replace_by(second)
    assert store.list(NAMESPACE, EVERYTHING, 9).documents == ()
    for each in (store, other):
        each.close()


# -- bulks and writes, without a cluster


def actions(count: int, size: int = 10) -> list[Action]:
    """Return actions of so many bytes."""
    return [Action(str(number), 1, b"x" * size) for number in range(count)]


def test_bulks_grow_while_answers_are_fast_and_shrink_when_they_are_not() -> None:
    """Between a least and a most."""
    size = BulkSize(1_000, 1 << 20)
    begun = size.count
    size.on_answered(0.01)
    assert size.count == 2 * begun
    size.on_answered(0.5)
    assert size.count == 2 * begun
    size.on_answered(2.0)
    size.on_refused()
    assert size.count == begun // 2
    for _ in range(20):
        size.on_answered(0.01)
    assert size.count == 1_000
    for _ in range(20):
        size.on_refused()
    assert size.count == 10


def test_a_bulk_has_at_most_so_many_bytes_but_at_least_one_change() -> None:
    """One that is too large goes alone."""
    size = BulkSize(1_000, 100)
    assert len(size.next_bulk(actions(50, 30))) == 3
    assert len(size.next_bulk(actions(50, 300))) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DONE),
        (201, Outcome.DONE),
        (409, Outcome.DONE),
        (404, Outcome.SUPERSEDED),
        (429, Outcome.LATER),
        (503, Outcome.LATER),
        (400, Outcome.FLAWED),
    ],
)
def test_what_becomes_of_a_change(status: int, outcome: Outcome) -> None:
    """A conflict of versions counts as done."""
    assert outcome is outcome_of({"status": status})


def test_only_what_was_refused_is_sent_again() -> None:
    """In order, before what was not sent yet."""
    writes = Writes(Batch([run(number) for number in range(4)]), 0)
    bulk = writes.pending[:3]
    assert writes.note(bulk, [Outcome.DONE, Outcome.LATER, Outcome.DONE])
    assert [f"{NAMESPACE}~run-0001", f"{NAMESPACE}~run-0003"] == [
        each.id for each in writes.pending
    ]


def test_a_source_and_its_document() -> None:
    """There and back, also where ids are too long for the cluster."""
    document = run(1, attributes={"A.b": Attribute(ValueType.INT, (1, 2))})
    source = mapping.source_of(document)
    assert document == mapping.document_of(source[mapping.RECORD])
    assert source["Int"] == {"A%2Eb": [1, 2]}
    assert len(mapping.id_of("ns", "x" * 600)) == 64
    assert (3, Cursor(1, 2, b"\xff", 3, "t")) == mapping.cursor_of(
        mapping.cursor_source(3, Cursor(1, 2, b"\xff", 3, "t"))
    )
