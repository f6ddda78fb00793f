"""Avro records in and out: single-object encoding, the schemas shipped in `schemas/avro/`.

A record is a dict with the field names of its `.avsc` file; a value of a union of records is a
tuple (name, dict). Reading finds the writer's schema by its fingerprint, the current one or any
released one, and resolves it to the current one.
"""

import json
from importlib.resources import files
from io import BytesIO
from typing import Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from fastavro.types import Schema

Fields = dict[str, object]

_MARKER = b"\xc3\x01"
_HEADER_BYTES = 10


class Undecodable(ValueError):
    """The bytes are not a record of a known schema."""


class Record:
    """One kind of Avro record: its name, and its codec."""

    def __init__(self, name: str) -> None:
        """Read the schema `schemas/avro/<name>.avsc`."""
        self.name = name
        self.schema = _load(f"{name}.avsc")
        self._mark = _mark(self.schema)
        _known[self._mark] = (self, None)
        for path in files("schemas").joinpath("avro/released").iterdir():
            if path.name.split(".")[0] == name:
                old = fastavro.parse_schema(json.loads(path.read_text()))
                _known.setdefault(_mark(old), (self, old))

    def encode(self, fields: Fields) -> bytes:
        """Return the single-object encoding of a record."""
        out = BytesIO(self._mark)
        out.seek(_HEADER_BYTES)
        fastavro.schemaless_writer(out, self.schema, fields)
        return out.getvalue()

    def decode(self, value: bytes) -> Fields:
        """Read a record of this kind; raises Undecodable for anything else."""
        kind, fields = decode(value)
        if kind is not self:
            raise Undecodable(f"expected a {self.name} record, found a {kind.name} record")
        return fields


def decode(value: bytes) -> tuple[Record, Fields]:
    """Read a record of any known kind; raises Undecodable."""
    found = _known.get(bytes(value[:_HEADER_BYTES]))
    if found is None:
        raise Undecodable(f"expected Avro single-object encoding, found {value[:10].hex()}...")
    record, written = found
    body = BytesIO(value)
    body.seek(_HEADER_BYTES)
    try:
        if written is None:
            fields = fastavro.schemaless_reader(body, record.schema, None, return_record_name=True)
        else:
            fields = fastavro.schemaless_reader(
                body, written, record.schema, return_record_name=True
            )
    except (EOFError, IndexError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise Undecodable(f"expected a {record.name} record, found broken bytes") from error
    return record, fields  # type: ignore[return-value]  # a record schema reads as a dict


def _load(file: str) -> Schema:
    return fastavro.parse_schema(json.loads(files("schemas").joinpath("avro", file).read_text()))


def _mark(schema: Schema) -> bytes:
    digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return _MARKER + bytes.fromhex(digest)[::-1]


_known: dict[bytes, tuple[Record, Schema | None]] = {}

COMMAND: Final = Record("command")
CLAIM: Final = Record("claim")
TRANSITION: Final = Record("transition")
TASK: Final = Record("task")
OWNER: Final = Record("owner")
NAMESPACE: Final = Record("namespace")
REPLY: Final = Record("reply")
DEAD_LETTER: Final = Record("dead_letter")
