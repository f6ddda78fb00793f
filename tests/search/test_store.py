"""What `store.py` promises, kept by both stores: versions, deletions, cursors, pages, rebuilds."""

import msgspec
import pytest

from schemas.errors import InvalidArgument
from search.attributes import Attribute, ValueType
from search.document import Document
from search.query.expressions import Query
from search.query.resolve import Names, list_query, resolve
from search.store import Batch, Cursor, Deletion, Store, Superseded
from tests.support.search_samples import CUSTOM, EPOCH, NAMESPACE, documents

NAMES = Names(CUSTOM)
EVERYTHING = list_query("", NAMES)
FIRST_TOKEN_SIZE = 10


def run(number: int, version: int = 1, **changes: object) -> Document:
    """Return a run of the namespace; the higher its number the later it started."""
    run_id = f"run-{number:04d}"
    plain = Document(
        NAMESPACE, f"order-{number}", run_id, version, "Order", 1, EPOCH + number, EPOCH + number
    )
    return msgspec.structs.replace(plain, **changes)


def write(store: Store, *runs: Document, deletions: tuple[Deletion, ...] = ()) -> None:
    """Write runs and deletions as one batch and make them visible."""
    store.write(Batch(runs, deletions), store.position().generation)
    store.refresh()


def listed(store: Store, query: Query = EVERYTHING) -> list[str]:
    """Return the ids of the runs that a query lists."""
    return [each.run_id for each in store.list(NAMESPACE, query, 1_000).documents]


def found_run(store: Store, run_id: str) -> Document | None:
    """Return the record of a run of the namespace."""
    return store.find([(NAMESPACE, run_id)]).get((NAMESPACE, run_id))


# -- versions and deletions


def test_a_newer_version_replaces_the_record(store: Store) -> None:
    """A document replaces the one before it whole."""
    paid = {"Customer": Attribute(ValueType.KEYWORD, ("a",))}
    write(store, run(1, attributes=paid))
    write(store, run(1, 2, status=2, closed_at=EPOCH + 9))
    assert listed(store, resolve("Customer = 'a'", NAMES)) == []
    assert listed(store, resolve("ExecutionStatus = 'Completed'", NAMES)) == ["run-0001"]
    assert {"Completed": 1} == store.count_groups(
        NAMESPACE, resolve("GROUP BY ExecutionStatus", NAMES)
    )


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_or_equal_version_is_dropped(store: Store, version: int) -> None:
    """At-least-once delivery has an exactly-once result."""
    write(store, run(1, 2, workflow_type="Newer"))
    write(store, run(1, version, workflow_type="Older"))
    found = found_run(store, "run-0001")
    assert found is not None
    assert found.workflow_type == "Newer"
    assert store.count(NAMESPACE, EVERYTHING) == 1


def test_the_newest_of_a_batch_wins(store: Store) -> None:
    """A run that starts and closes within one batch is closed, in whatever order they stand."""
    write(store, run(1, 3, status=2, closed_at=EPOCH + 5), run(1, 1), run(1, 2))
    found = found_run(store, "run-0001")
    assert found is not None
    assert (found.version, found.status) == (3, 2)


def test_a_late_write_does_not_bring_a_deleted_run_back(store: Store) -> None:
    """The deletion's version stays, whether or not the run was ever seen."""
    write(store, run(1, 3))
    write(store, deletions=(Deletion(NAMESPACE, "run-0001", 9), Deletion(NAMESPACE, "run-0002", 9)))
    write(store, run(1, 4), run(2, 9))
    assert listed(store) == []
    assert store.count(NAMESPACE, EVERYTHING) == 0
    assert found_run(store, "run-0001") is None


def test_a_deletion_takes_what_is_older_only(store: Store) -> None:
    """A deletion that comes late does not take a newer record."""
    write(store, run(1, 5))
    write(store, deletions=(Deletion(NAMESPACE, "run-0001", 4),))
    assert listed(store) == ["run-0001"]


def test_a_deleted_run_leaves_nothing_behind(store: Store) -> None:
    """Not among words, values or groups either."""
    held = {
        "Note": Attribute(ValueType.TEXT, ("hello",)),
        "Customer": Attribute(ValueType.KEYWORD, ("a",)),
    }
    write(store, run(1, attributes=held), run(2, attributes=held))
    write(store, deletions=(Deletion(NAMESPACE, "run-0001", 2),))
    for text in ("Note = 'hello'", "Customer = 'a'", "Customer IS NOT NULL"):
        assert listed(store, resolve(text, NAMES)) == ["run-0002"]
    groups = store.count_groups(NAMESPACE, resolve("GROUP BY ExecutionStatus", NAMES))
    assert {"Running": 1} == groups


def test_old_deletions_can_be_forgotten(store: Store) -> None:
    """What keeps a run from coming back need not be kept for ever."""
    write(store, deletions=(Deletion(NAMESPACE, "run-0001", 9), Deletion(NAMESPACE, "run-0002", 9)))
    assert store.forget_deletions(1) == 0
    assert store.forget_deletions(2**62) == 2
    assert store.forget_deletions(2**62) == 0


# -- cursors


def test_cursors_come_back_as_they_were_written(store: Store) -> None:
    """A cursor per partition, with all that identifies the log."""
    cursors = {0: Cursor(7, 3, b"\x00\xff", 2, "topic"), 5: Cursor(1)}
    store.write(Batch([run(1)], cursors=cursors), store.position().generation)
    store.write(Batch(cursors={5: Cursor(2)}), store.position().generation)
    assert {**cursors, 5: Cursor(2)} == dict(store.position().cursors)
    store.refresh()
    assert listed(store) == ["run-0001"]


def test_another_generation_is_not_written_to(store: Store) -> None:
    """Whoever writes says which generation it read the cursors of."""
    generation = store.position().generation
    with pytest.raises(Superseded):
        store.write(Batch([run(1)]), generation.replace("000001", "000007"))
    assert found_run(store, "run-0001") is None


# -- lists


def test_open_runs_come_first_then_the_newest_closed(store: Store) -> None:
    """The default order; equal times are settled by the run id, descending."""
    write(
        store,
        run(1),
        run(2),
        run(3, closed_at=EPOCH + 100, status=2),
        run(4, closed_at=EPOCH + 200, status=2),
        run(5, started_at=EPOCH + 2),
        run(6, closed_at=EPOCH + 100, status=2, started_at=EPOCH + 3),
    )
    assert ["run-0005", "run-0002", "run-0001", "run-0004", "run-0006", "run-0003"] == listed(store)


@pytest.mark.parametrize("order", ["", " ORDER BY WorkflowType", " ORDER BY StartTime DESC"])
def test_pages_neither_skip_nor_repeat_under_inserts(store: Store, order: str) -> None:
    """Runs that come in between two pages move none that was there."""
    query = list_query(f"WorkflowId STARTS_WITH 'order'{order}", NAMES)
    before = [run(number, started_at=EPOCH + number // 7) for number in range(0, 100, 2)]
    write(store, *before)
    shown: list[str] = []
    token = b""
    for number in range(1, 100, 2):
        page = store.list(NAMESPACE, query, 3, token)
        shown += [each.run_id for each in page.documents]
        token = page.token
        if not token:
            break
        write(store, run(number, started_at=EPOCH + number // 7))
    assert len(shown) == len(set(shown))
    assert {each.run_id for each in before} <= set(shown)


def test_exact_nanoseconds_are_shown(store: Store) -> None:
    """No digit of a time, number or text is lost."""
    attributes = {
        "DueAt": Attribute(ValueType.DATETIME, (EPOCH + 123_456_789, 2**63 - 1)),
        "Amount": Attribute(ValueType.INT, (2**53 + 1,)),
        "Price": Attribute(ValueType.DOUBLE, (0.1 + 0.2,)),
        "Note": Attribute(ValueType.TEXT, ("  As it WAS; 'written'  ",)),
    }
    written = run(
        123_456_789,
        attributes=attributes,
        memo=b"\x00\xff",
        closed_at=EPOCH + 999_999_999,
        status=2,
    )
    write(store, written)
    assert (written,) == store.list(NAMESPACE, EVERYTHING, 10).documents
    assert written == found_run(store, written.run_id)


def test_a_page_token_of_another_order_is_refused(store: Store) -> None:
    """With Temporal's words."""
    write(store, *(run(number) for number in range(5)))
    token = store.list(NAMESPACE, list_query("ORDER BY WorkflowType", NAMES), 2).token
    with pytest.raises(InvalidArgument, match="expected 3 fields, got 2"):
        store.list(NAMESPACE, EVERYTHING, 2, token)
    with pytest.raises(InvalidArgument, match="unable to deserialize page token"):
        store.list(NAMESPACE, EVERYTHING, 2, b"{garbage")


def test_namespaces_do_not_see_each_other(store: Store) -> None:
    """Every list and count is about one namespace."""
    write(store, run(1), run(2, namespace_id="ns-2"))
    assert listed(store) == ["run-0001"]
    assert store.count("ns-2", EVERYTHING) == 1
    assert store.count("nobody", EVERYTHING) == 0
    assert store.list("nobody", EVERYTHING, 10).documents == ()
    assert store.find([("ns-2", "run-0001")]) == {}


def test_a_run_may_change_its_division(store: Store) -> None:
    """It moves from the runs that a plain list shows to those of the division, and back."""
    division = {"TemporalNamespaceDivision": Attribute(ValueType.KEYWORD, ("Other",))}
    in_division = resolve("TemporalNamespaceDivision = 'Other'", NAMES)
    write(store, run(1))
    write(store, run(1, 2, attributes=division))
    assert ([], ["run-0001"]) == (listed(store), listed(store, in_division))
    write(store, run(1, 3))
    assert (["run-0001"], []) == (listed(store), listed(store, in_division))


# -- attributes


def test_a_new_attribute_is_usable_at_once(store: Store) -> None:
    """On a live store; runs from before lack it."""
    write(store, run(1))
    store.add_attributes(NAMESPACE, {"Fresh": ValueType.KEYWORD, "It's.new": ValueType.INT})
    names = Names({"Fresh": ValueType.KEYWORD, "It's.new": ValueType.INT})
    held = {
        "Fresh": Attribute(ValueType.KEYWORD, ("x",)),
        "It's.new": Attribute(ValueType.INT, (7,)),
    }
    assert listed(store, resolve("Fresh IS NULL AND `It's.new` != 1", names)) == ["run-0001"]
    write(store, run(2, attributes=held))
    assert listed(store, resolve("Fresh = 'x' AND `It's.new` > 6", names)) == ["run-0002"]
    assert listed(store, list_query("ORDER BY `It's.new`", names)) == ["run-0002", "run-0001"]


def test_an_attribute_need_not_be_announced(store: Store) -> None:
    """A node that has not heard of it yet indexes it all the same."""
    names = Names({"Unheard": ValueType.DATETIME})
    write(store, run(1, attributes={"Unheard": Attribute(ValueType.DATETIME, (EPOCH,))}))
    assert listed(store, resolve(f"Unheard = {EPOCH}", names)) == ["run-0001"]


def test_one_name_may_have_two_types(store: Store) -> None:
    """Each namespace has its own attributes."""
    write(
        store,
        run(1, attributes={"Size": Attribute(ValueType.KEYWORD, ("large",))}),
        run(2, namespace_id="ns-2", attributes={"Size": Attribute(ValueType.INT, (7,))}),
    )
    as_keyword = resolve("Size = 'large'", Names({"Size": ValueType.KEYWORD}))
    as_int = resolve("Size = 7", Names({"Size": ValueType.INT}))
    assert (1, 0) == (store.count(NAMESPACE, as_keyword), store.count(NAMESPACE, as_int))
    assert (0, 1) == (store.count("ns-2", as_keyword), store.count("ns-2", as_int))


# -- rebuilding


def test_a_rebuilt_store_takes_over_at_once(store: Store) -> None:
    """Built beside the live one and unseen until it replaces it; its cursors come with it."""
    sample = [each for each in documents(40) if each.namespace_id == NAMESPACE]
    store.write(Batch(sample[:5], cursors={0: Cursor(5)}), store.position().generation)
    old = store.position().generation
    rebuilt = store.beside()
    assert {} == dict(rebuilt.position().cursors)
    rebuilt.write(Batch(sample, cursors={0: Cursor(40)}), rebuilt.position().generation)
    store.refresh()
    everywhere = resolve("NamespaceDivision IS NULL OR NamespaceDivision IS NOT NULL", NAMES)
    assert store.count(NAMESPACE, everywhere) == 5
    store.replace_by(rebuilt)
    assert len(sample) == store.count(NAMESPACE, everywhere)
    position = store.position()
    assert ({0: Cursor(40)}, True) == (dict(position.cursors), position.generation != old)


def test_who_writes_to_the_old_store_is_told(store: Store) -> None:
    """A writer that has not heard of the swap loses no change to it: it must look again."""
    old = store.position().generation
    store.replace_by(store.beside())
    with pytest.raises(Superseded):
        store.write(Batch([run(1)], cursors={0: Cursor(1)}), old)
    assert {} == dict(store.position().cursors)
    write(store, run(1))
    assert listed(store) == ["run-0001"]


def test_a_rebuild_can_be_given_up(store: Store) -> None:
    """Nothing is left of it, and another can be begun."""
    write(store, run(1))
    rebuilt = store.beside()
    rebuilt.write(Batch([run(2)]), rebuilt.position().generation)
    rebuilt.discard()
    assert listed(store) == ["run-0001"]
    again = store.beside()
    again.refresh()
    assert again.count(NAMESPACE, EVERYTHING) == 0
    again.discard()


def test_health_says_how_much_there_is(store: Store) -> None:
    """For operators."""
    write(store, run(1), run(2))
    health = store.health()
    assert (True, 2) == (health.is_serving, health.runs_count)
