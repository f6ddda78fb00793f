"""A document as Elasticsearch holds it, and how the index maps it. Pure.

Every attribute is a field of its own name, custom ones below their type (`Keyword.OrderId`):
the same name may have another type in another namespace. `dynamic` is off but below the types,
where templates map what comes. `Record` holds the whole document, which is what is shown. A
deleted run leaves its id and version; it belongs to no namespace, so no query finds it.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from search.attributes import (
    NAMESPACE_DIVISION,
    PREDEFINED,
    SYSTEM,
    Attribute,
    Value,
    ValueType,
    key_of,
)
from search.document import Document, pack, system_values, unpack
from search.settings import ElasticSettings
from search.store import Cursor
from search.times import format_instant
from search.to_elastic import NAMESPACE
from search.words import PRESENCE, words_of

Source = dict[str, Any]

RECORD: Final = "Record"
DELETED_AT: Final = "DeletedAt"
CURSOR: Final = "Cursor"
PARTITION: Final = "CursorPartition"
FIELDS_MAX: Final = 10_000
ID_BYTES_MAX: Final = 512

_DATE: Final = {"type": "date_nanos", "format": "strict_date_optional_time_nanos"}
_WORDS: Final = {
    "type": "text",
    "analyzer": "whitespace",
    "norms": False,
    "index_options": "docs",
}
FIELDS: Final[Mapping[ValueType, Mapping[str, Any]]] = {
    ValueType.TEXT: _WORDS,
    ValueType.KEYWORD: {"type": "keyword"},
    ValueType.INT: {"type": "long"},
    ValueType.DOUBLE: {"type": "double"},
    ValueType.BOOL: {"type": "boolean"},
    ValueType.DATETIME: _DATE,
    ValueType.KEYWORD_LIST: {"type": "keyword"},
}


UNSEEN: Final[Mapping[str, Any]] = {"refresh_interval": "-1"}
"""Settings of an index that nobody searches yet: it need not be made visible all the time."""


def seen(settings: ElasticSettings) -> dict[str, Any]:
    """Return the settings of an index that is searched, as far as `UNSEEN` has others."""
    return {"refresh_interval": f"{settings.refresh_interval_ms}ms"}


def index_template(settings: ElasticSettings) -> dict[str, Any]:
    """Return the index template of the visibility indexes."""
    return {
        "index_patterns": [f"{settings.index}-0*"],  # not those of an index of a longer name
        "template": {"settings": _settings(settings), "mappings": _mappings()},
    }


def attribute_mapping(attributes: Mapping[str, int]) -> dict[str, Any]:
    """Return the mapping to add for custom attributes (name to type)."""
    properties: dict[str, Any] = {}
    for name, value_type in attributes.items():
        kind = ValueType(value_type)
        _, _, field = key_of(name, kind).partition(".")
        below = properties.setdefault(kind.label, {"properties": {}})
        below["properties"][field] = dict(FIELDS[kind])
    return {"properties": properties}


def id_of(namespace_id: str, run_id: str) -> str:
    """Return the id of a run's document; run ids are unique, the namespace is for certainty."""
    plain = f"{namespace_id}~{run_id}"
    if len(plain.encode()) <= ID_BYTES_MAX:
        return plain
    return hashlib.sha256(plain.encode()).hexdigest()


def cursor_id(partition: int) -> str:
    """Return the id of the document that holds a partition's cursor."""
    return f"cursor~{partition}"


def source_of(document: Document, *, is_bare: bool = False) -> Source:
    """Return a document's source; `is_bare`: without attributes that cannot be indexed."""
    source: Source = {NAMESPACE: document.namespace_id, RECORD: _packed(pack(document))}
    for name, value in system_values(document).items():
        source[name] = _value(value, SYSTEM[name])
    if document.division is not None:
        source[NAMESPACE_DIVISION] = document.division
    if is_bare:
        return source
    for name, attribute in document.attributes.items():
        if name != NAMESPACE_DIVISION:
            _put(source, key_of(name, attribute.type), attribute)
    return source


def document_of(packed: str) -> Document:
    """Return the document in a Record."""
    return unpack(base64.b64decode(packed))


def tombstone(deleted_at: int) -> Source:
    """Return the source that a deleted run leaves."""
    return {DELETED_AT: deleted_at}


def cursor_source(partition: int, cursor: Cursor) -> Source:
    """Return the source that holds a cursor."""
    return {
        PARTITION: partition,
        CURSOR: {
            "offset": cursor.offset,
            "epoch": cursor.epoch,
            "incarnation": _packed(cursor.incarnation),
            "seq": cursor.seq,
            "topic_id": cursor.topic_id,
        },
    }


def cursor_of(source: Source) -> tuple[int, Cursor]:
    """Return the partition and the cursor in a source."""
    held = source[CURSOR]
    incarnation = base64.b64decode(held["incarnation"])
    cursor = Cursor(held["offset"], held["epoch"], incarnation, held["seq"], held["topic_id"])
    return source[PARTITION], cursor


def _settings(settings: ElasticSettings) -> dict[str, Any]:
    return {
        "index": {
            "number_of_shards": settings.shards_count,
            "auto_expand_replicas": settings.replicas,
            **seen(settings),
            "search": {"idle": {"after": "365d"}},
            "mapping": {"total_fields": {"limit": FIELDS_MAX}},
            "sort": {
                "field": ["CloseTime", "StartTime", "RunId"],
                "order": ["desc"] * 3,
                "missing": ["_first"] * 3,
            },
        }
    }


def _mappings() -> dict[str, Any]:
    known = {name: dict(FIELDS[kind]) for name, kind in {**SYSTEM, **PREDEFINED}.items()}
    custom = {kind.label: {"type": "object", "dynamic": True} for kind in ValueType}
    templates = [
        {kind.label: {"path_match": f"{kind.label}.*", "mapping": dict(FIELDS[kind])}}
        for kind in ValueType
    ]
    return {
        "dynamic": False,
        "date_detection": False,
        "dynamic_templates": templates,
        "properties": {
            NAMESPACE: {"type": "keyword"},
            RECORD: {"type": "binary", "doc_values": True},  # a page is read from these alone
            DELETED_AT: {"type": "long"},
            PARTITION: {"type": "integer"},
            CURSOR: {"type": "object", "enabled": False},
            **known,
            **custom,
        },
    }


def _put(source: Source, key: str, attribute: Attribute) -> None:
    kind = ValueType(attribute.type)
    values = [_value(value, kind) for value in attribute.values]
    held = values if len(values) > 1 else values[0]
    above, _, below = key.partition(".")
    if below:
        source.setdefault(above, {})[below] = held
    else:
        source[above] = held


def _value(value: Value, kind: ValueType) -> Value:
    if kind is ValueType.DATETIME:
        return format_instant(int(value))
    if kind is ValueType.TEXT:
        return " ".join((PRESENCE, *words_of(str(value))))
    return value


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()
