"""The public contract: every topic, record and field is documented and stays compatible."""

import json
from pathlib import Path
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from tests.house.sources import ROOT
from topology.topics import TOPICS

COMPATIBLE = SchemaCompatibilityType.compatible
SCHEMAS = sorted((ROOT / "schemas/avro").glob("*.avsc"))
RELEASED = sorted((ROOT / "schemas/avro/released").glob("*.avsc"))


def name_of(path: Path) -> str:
    """Return the record's name: `released/command.0.1.0.avsc` is `command`."""
    return path.name.partition(".")[0]


def latest_released() -> dict[str, Path]:
    """Return the newest released file of each record."""
    newest: dict[str, Path] = {}
    for path in sorted(RELEASED, key=_version):
        newest[name_of(path)] = path
    return newest


@pytest.mark.parametrize("path", [*SCHEMAS, *RELEASED], ids=lambda path: path.name)
def test_the_official_package_parses_every_schema(path: Path) -> None:
    """Anybody's Avro library can read them."""
    assert parsed(path).type == "record"


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_every_record_and_field_is_documented(path: Path) -> None:
    """A schema is the only documentation a Kafka user has in hand."""
    assert list(_silent(json.loads(path.read_text()), path.stem)) == []


def test_every_record_has_a_released_version() -> None:
    """Compatibility is measured against something."""
    assert set(latest_released()) == {path.stem for path in SCHEMAS}


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_new_readers_understand_old_records(path: Path) -> None:
    """Backward compatibility: what stands in the log stays readable."""
    assert _conflicts(reader=path, writer=latest_released()[path.stem]) == []


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_old_readers_understand_new_records(path: Path) -> None:
    """Forward compatibility: a consumer need not be upgraded first."""
    assert _conflicts(reader=latest_released()[path.stem], writer=path) == []


def test_every_topic_names_records_that_exist() -> None:
    """The table of topics and the schemas agree."""
    named = {record for topic in TOPICS for record in topic.value.split(", ")}
    assert named == {path.stem for path in SCHEMAS}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_documented(topic: Any) -> None:
    """ARCHITECTURE.md says what each topic is for."""
    assert f"| **{topic.name}** |" in (ROOT / "ARCHITECTURE.md").read_text()


def parsed(path: Path) -> Any:
    """Return the schema as the official package reads it."""
    return avro.schema.parse(path.read_text())


def _conflicts(*, reader: Path, writer: Path) -> list[str]:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro's
    result = checker.get_compatibility(parsed(reader), parsed(writer))
    return [] if result.compatibility == COMPATIBLE else sorted(result.messages)


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.stem.split(".")[1:])


def _silent(schema: Any, where: str) -> list[str]:
    """Return the places without a doc."""
    if isinstance(schema, list):
        return [place for one in schema for place in _silent(one, where)]
    if not isinstance(schema, dict):
        return []
    if schema["type"] in ("array", "map"):
        return _silent(schema.get("items", schema.get("values")), where)
    if schema["type"] != "record":
        return _silent(schema["type"], where) if isinstance(schema["type"], dict | list) else []
    here = f"{where}.{schema['name']}"
    places = [] if schema.get("doc") else [here]
    for field in schema["fields"]:
        if not field.get("doc"):
            places.append(f"{here}.{field['name']}")
        places += _silent(field["type"], here)
    return places
