"""The parser: limits and depth. What texts mean is in the fixtures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidArgument
from search.attributes import ValueType
from search.query.errors import QueryError
from search.query.expressions import Query
from search.query.parser import NESTING_MAX, parse
from search.query.resolve import CONDITIONS_MAX, DEPTH_MAX, Names, list_query, resolve
from search.query.syntax import Both
from search.to_elastic import search_query
from search.to_sql import condition

NAMES = Names({"Amount": ValueType.INT})


def nested(depth: int) -> str:
    """Return a query whose AND and OR alternate so deep."""
    text = "Amount = 1"
    for level in range(depth):
        text = f"(Amount = {level} {'AND' if level % 2 else 'OR'} {text})"
    return text


def test_the_deepest_nesting_that_parses() -> None:
    """One bracket less than Temporal's limit."""
    depth = NESTING_MAX - 1
    assert parse("(" * depth + "Amount = 1" + ")" * depth).where == parse("Amount = 1").where


@pytest.mark.parametrize("opening", ["(", "NOT ", "!", "NOT ("])
def test_deeper_nesting_is_refused(opening: str) -> None:
    """With Temporal's words, whatever nests."""
    with pytest.raises(QueryError, match="max nesting level reached"):
        parse(opening * NESTING_MAX + "Amount = 1")


def test_a_long_chain_is_one_conjunction() -> None:
    """Not a tree as deep as it is long."""
    where = parse(" AND ".join(["Amount = 1"] * 5_000)).where
    assert isinstance(where, Both)
    assert len(where.parts) == 5_000


def test_the_bound_of_conditions() -> None:
    """Both stores take as many as are allowed; one more is refused."""
    text = " OR ".join(f"Amount = {number}" for number in range(CONDITIONS_MAX))
    assert isinstance(resolve(text, NAMES), Query)
    with pytest.raises(QueryError, match="more than 1000 conditions"):
        resolve(f"{text} OR Amount = -1", NAMES)


def test_the_bound_of_depth() -> None:
    """AND and OR that alternate deeper than Elasticsearch takes are refused on both stores."""
    query = resolve(nested(DEPTH_MAX - 2), NAMES)
    assert search_query("ns", query.where)
    assert condition(query.where, {}).text
    with pytest.raises(QueryError, match="nested more than 25 deep"):
        resolve(nested(DEPTH_MAX + 1), NAMES)


def test_a_list_has_no_groups() -> None:
    """GROUP BY is for counts."""
    with pytest.raises(InvalidArgument, match=r"^GROUP BY clause is not supported$"):
        list_query("GROUP BY ExecutionStatus", NAMES)


def test_order_by_can_be_switched_off() -> None:
    """Temporal's default; ours is on."""
    assert list_query("ORDER BY Amount", NAMES).order_by
    with pytest.raises(InvalidArgument, match=r"^ORDER BY clause is not supported$"):
        list_query("ORDER BY Amount", Names(NAMES.custom, allows_order_by=False))


@given(
    st.text()
    | st.text(alphabet="'\"`\\()=<>!&|,.;-#/*% \n0123456789eExXabNOTinANDor@_", max_size=60)
)
def test_any_text_parses_or_is_refused(text: str) -> None:
    """Nothing but QueryError comes out."""
    try:
        resolve(text, NAMES)
    except QueryError as error:
        assert error.message.startswith("invalid query: ")  # noqa: PT017 - either is right
