"""Random queries over random runs: the stores and the naive evaluator agree on all of them."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.attributes import Attribute, ValueType
from search.document import Document
from search.elastic import ElasticStore
from search.query.resolve import Names, list_query
from search.sqlite import SqliteStore
from search.store import Batch, Store
from tests.search.conftest import BOTH, elastic_settings
from tests.support import search_naive as naive
from tests.support.search_samples import CUSTOM, EPOCH, VALUES

NAMES = Names(CUSTOM)
_namespaces = itertools.count(1)
_letters = st.text(st.characters(codec="utf-8"), max_size=4)

_held = {
    ValueType.TEXT: st.sampled_from(VALUES[ValueType.TEXT]) | _letters,
    ValueType.KEYWORD: st.sampled_from(VALUES[ValueType.KEYWORD]) | _letters,
    ValueType.INT: st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    ValueType.DOUBLE: st.sampled_from([-1.5, 0.0, 0.1, 1.0, 2.5])
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0),
    ValueType.BOOL: st.booleans(),
    ValueType.DATETIME: st.integers(EPOCH, EPOCH + 3) | st.integers(0, 2**63 - 1),
    ValueType.KEYWORD_LIST: st.sampled_from(VALUES[ValueType.KEYWORD_LIST]),
}


def _attribute(value_type: ValueType) -> st.SearchStrategy[Attribute]:
    held = st.lists(_held[value_type], min_size=1, max_size=3, unique=True)
    return held.map(lambda values: Attribute(value_type, tuple(values)))


@st.composite
def _documents(draw: st.DrawFn) -> list[Document]:
    documents = []
    for number in range(draw(st.integers(1, 12))):
        started_at = EPOCH + draw(st.integers(0, 3))
        closed_at = draw(st.none() | st.integers(started_at, started_at + 3))
        documents.append(
            Document(
                "",
                draw(st.sampled_from(["order-1", "order-2", "pay-1"])),
                f"run-{number}",
                1,
                draw(st.sampled_from(["Order", "Pay"])),
                1 if closed_at is None else draw(st.sampled_from([2, 3, 7])),
                started_at,
                started_at,
                closed_at,
                attributes={
                    name: draw(_attribute(CUSTOM[name]))
                    for name in sorted(draw(st.sets(st.sampled_from(sorted(CUSTOM)))))
                },
            )
        )
    return documents


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _literal(value_type: ValueType) -> st.SearchStrategy[str]:
    if value_type is ValueType.BOOL:
        return st.sampled_from(["true", "false"])
    if value_type in (ValueType.INT, ValueType.DOUBLE):
        numbers = _held[ValueType.INT] | _held[ValueType.DOUBLE]
        return numbers.map(repr)
    if value_type is ValueType.DATETIME:
        return _held[value_type].map(str)
    return _held[value_type].map(_quoted)


@st.composite
def _condition(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from([*sorted(CUSTOM), "WorkflowId", "StartTime", "CloseTime"]))
    system = ValueType.KEYWORD if name == "WorkflowId" else ValueType.DATETIME
    value_type = CUSTOM.get(name, system)
    column = f"`{name}`"
    literals = draw(st.lists(_literal(value_type), min_size=2, max_size=3))
    forms = [f"{column} IS NULL", f"{column} IS NOT NULL"]
    forms += [f"{column} {sign} {literals[0]}" for sign in ("=", "!=")]
    if value_type is not ValueType.TEXT:
        forms += [f"{column} {word} ({', '.join(literals)})" for word in ("IN", "NOT IN")]
    if value_type not in (ValueType.TEXT, ValueType.KEYWORD_LIST):
        forms += [f"{column} {sign} {literals[0]}" for sign in ("<", "<=", ">", ">=")]
    if value_type not in (ValueType.TEXT, ValueType.KEYWORD_LIST, ValueType.BOOL):
        forms.append(f"{column} BETWEEN {literals[0]} AND {literals[1]}")
    if value_type is ValueType.KEYWORD:
        forms += [f"{column} {word} {literals[0]}" for word in ("STARTS_WITH", "NOT STARTS_WITH")]
    return draw(st.sampled_from(forms))


_conditions = st.recursive(
    _condition(),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' AND '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})"),
        inner.map(lambda part: f"NOT {part}"),
    ),
    max_leaves=6,
)
_orders = st.lists(
    st.tuples(
        st.sampled_from(
            [*sorted(set(CUSTOM) - {"Note"}), "StartTime", "CloseTime", "WorkflowType"]
        ),
        st.sampled_from(["", " ASC", " DESC"]),
    ),
    max_size=2,
    unique_by=lambda each: each[0],
).map(lambda items: ", ".join(f"`{name}`{direction}" for name, direction in items))


@pytest.fixture(scope="module", params=BOTH)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """One store of each kind; every example has a namespace of its own in it."""
    opened: Store
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("random")
        opened = SqliteStore(folder)
    else:
        opened = ElasticStore(elastic_settings(request.getfixturevalue("elastic_url")))
    yield opened
    opened.close()


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    drawn=_documents(),
    texts=st.lists(st.tuples(_conditions, _orders), min_size=1, max_size=8),
    size=st.integers(1, 5),
)
def test_random_queries_over_random_runs(
    shared: Store, drawn: list[Document], texts: list[tuple[str, str]], size: int
) -> None:
    """The same runs in the same order, in pages of any size, and as many when counted."""
    namespace = f"random-{next(_namespaces)}"
    documents = [_in_namespace(each, namespace) for each in drawn]
    shared.write(Batch(documents=documents), shared.position().generation)
    shared.refresh()
    for condition, order in texts:
        text = f"{condition} ORDER BY {order}" if order else condition
        query = list_query(text, NAMES)
        expected = naive.matching(documents, namespace, text, CUSTOM)
        assert expected == _paged(shared, namespace, query, size), text
        assert len(expected) == shared.count(namespace, query), text


def _in_namespace(document: Document, namespace: str) -> Document:
    fields = {name: getattr(document, name) for name in document.__struct_fields__}
    return Document(**{**fields, "namespace_id": namespace, "run_id": f"{document.run_id}"})


def _paged(store: Store, namespace: str, query: object, size: int) -> list[Document]:
    found: list[Document] = []
    token = b""
    for _ in range(50):
        page = store.list(namespace, query, size, token)  # type: ignore[arg-type]
        found += page.documents
        token = page.token
        if not token:
            return found
    raise AssertionError("expected the pages to end")
