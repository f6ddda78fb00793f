"""A document as the rows of an SQLite search store. Pure."""

from collections.abc import Iterator
from typing import Final

from search.attributes import NAMESPACE_DIVISION, Attribute, Value, ValueType, key_of
from search.document import Document
from search.query.values import STATUS_NAMES
from search.times import INSTANT_MAX
from search.to_sql import word_token
from search.words import PRESENCE, words_of

Row = tuple[Value | None, ...]

OPEN: Final = INSTANT_MAX


def place_of(document: Document) -> int:
    """Return what a run is sorted by first: open runs behind the end of time."""
    return OPEN if document.closed_at is None else document.closed_at


def run_row(document: Document, run: int, space: int) -> Row:
    """Return the parameters of INSERT_RUN and UPDATE_RUN."""
    return (
        document.version,
        space,
        document.division,
        place_of(document),
        document.started_at,
        document.run_id,
        document.workflow_id,
        document.workflow_type,
        STATUS_NAMES[document.status],
        document.closed_at,
        document.execution_at,
        document.task_queue or None,
        document.parent_workflow_id or None,
        document.parent_run_id or None,
        document.root_workflow_id or None,
        document.root_run_id or None,
        document.history_length,
        document.history_bytes,
        document.state_transition_count,
        document.execution_duration,
        any(True for _ in posted_attributes(document)),
        any(True for _ in texts(document)),
        run,
    )


def posted_attributes(document: Document) -> Iterator[tuple[str, Attribute]]:
    """Yield the attributes that have postings, by key."""
    for name, attribute in document.attributes.items():
        if name != NAMESPACE_DIVISION and attribute.type != ValueType.TEXT:
            yield key_of(name, attribute.type), attribute


def texts(document: Document) -> Iterator[tuple[str, Attribute]]:
    """Yield the attributes that have words, by key."""
    for name, attribute in document.attributes.items():
        if attribute.type == ValueType.TEXT:
            yield key_of(name, attribute.type), attribute


def posting_rows(attribute: Attribute, number: int, document: Document, run: int) -> Iterator[Row]:
    """Yield a row for each value of an attribute, which has a number in the run's space."""
    place = place_of(document)
    for value in attribute.values:
        yield (number, value, place, document.started_at, run)


def tokens_of(attribute: Attribute, number: int) -> Iterator[str]:
    """Yield the tokens that stand for the words of an attribute in the full-text table."""
    yield word_token(number, PRESENCE)
    for text in attribute.values:
        for word in words_of(str(text)):
            yield word_token(number, word)
