"""Message schemas as text tables, compiled on first use to one decoder or encoder per version.

A table line is `name type [versions] [null[=versions]] [=default]`; the fields of a structure
array (type `[]`) are indented below it. Versions are `3+` or `0-2`; without them a field is in all
versions. A decoded message is a dict with every field of the table: those its version lacks have
their default. An encoder takes a dict; a field with a default may be left out. Tagged fields are
skipped when read and never written: no API here needs one.

`records` is read as a memoryview of the frame and written from a list of buffers, neither copied.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from infra.broker import wire

Message: TypeAlias = dict[str, Any]
Decoder: TypeAlias = Callable[[wire.Buffer, int], tuple[Message, int]]
Encoder: TypeAlias = Callable[[Message, Callable[[wire.Buffer], None]], None]

_ALL = (0, 32767)
_FIXED = {
    "bool": ("?", 1, False),
    "int8": ("b", 1, 0),
    "int16": ("h", 2, 0),
    "int32": ("i", 4, 0),
    "int64": ("q", 8, 0),
    "uuid": ("16s", 16, bytes(16)),
}
_CONSTANTS = {"null": None, "empty": "", "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Api:
    """One API: key, name, accepted versions, first flexible version and its two tables."""

    key: int
    name: str
    versions: tuple[int, int]
    flexible_from: int
    request: str
    response: str
    advertised_from: int | None = None

    def is_flexible(self, version: int) -> bool:
        """Say whether this version has compact lengths and tagged fields."""
        return version >= self.flexible_from


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: str
    versions: tuple[int, int]
    null_versions: tuple[int, int] | None
    has_default: bool
    default: object
    children: tuple["_Field", ...]

    def is_in(self, version: int) -> bool:
        return self.versions[0] <= version <= self.versions[1]

    def is_nullable(self, version: int) -> bool:
        span = self.null_versions
        return span is not None and span[0] <= version <= span[1]


def _versions(text: str) -> tuple[int, int]:
    if text.endswith("+"):
        return int(text[:-1]), _ALL[1]
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _default(text: str) -> object:
    return _CONSTANTS[text] if text in _CONSTANTS else int(text)


def _zero(kind: str) -> object:
    if kind in _FIXED:
        return _FIXED[kind][2]
    return {"string": "", "bytes": b""}.get(kind)


def _field(words: list[str], children: tuple[_Field, ...]) -> _Field:
    versions, null, has_default, default = _ALL, None, False, _zero(words[1])
    for word in words[2:]:
        if word.startswith("null"):
            null = _versions(word[5:]) if "=" in word else _ALL
        elif word.startswith("="):
            has_default, default = True, _default(word[1:])
        else:
            versions = _versions(word)
    return _Field(words[0], words[1], versions, null, has_default, default, children)


def _parsed(lines: list[str]) -> tuple[_Field, ...]:
    """Parse lines of one level; deeper lines belong to the line above them."""
    fields: list[_Field] = []
    at = 0
    while at < len(lines):
        depth = len(lines[at]) - len(lines[at].lstrip())
        end = at + 1
        while end < len(lines) and len(lines[end]) - len(lines[end].lstrip()) > depth:
            end += 1
        fields.append(_field(lines[at].split(), _parsed(lines[at + 1 : end])))
        at = end
    return tuple(fields)


@cache
def _table(text: str) -> tuple[_Field, ...]:
    return _parsed([line for line in text.splitlines() if line.strip()])


class _Source:
    """Source text of the functions of one message in one version."""

    def __init__(self, version: int, *, is_flexible: bool) -> None:
        self.version = version
        self.is_flexible = is_flexible
        self.functions: list[str] = []
        self.names: dict[str, Any] = {"wire": wire, "malformed": wire.MalformedError}
        for name in dir(wire):
            self.names[name] = getattr(wire, name)

    def prefixed(self, name: str) -> str:
        """Name the compact variant of a primitive where the version is flexible."""
        if not self.is_flexible:
            return "sized_bytes" if name == "bytes" else name
        return f"read_compact_{name[5:]}" if name.startswith("read_") else f"compact_{name}"

    def fixed(self, codes: str) -> str:
        """Name the struct of these format codes."""
        name = "fixed_" + codes.replace("?", "o")
        self.names[name] = struct.Struct(">" + codes)
        return name

    def constant(self, value: object) -> str:
        """Name a default; lists are made anew by the code that uses them."""
        name = f"constant_{len(self.names)}"
        self.names[name] = value
        return name

    def compiled(self, entry: str, title: str) -> Any:
        """Compile all functions and return the entry."""
        code = compile("\n".join(self.functions), f"<{title} v{self.version}>", "exec")
        exec(code, self.names)  # noqa: S102 - the text is made here from our own tables
        return self.names[entry]


def _runs(fields: list[_Field]) -> list[list[_Field]]:
    """Group neighbours of fixed size, which one struct call reads or writes."""
    runs: list[list[_Field]] = []
    for field in fields:
        if runs and field.type in _FIXED and runs[-1][-1].type in _FIXED:
            runs[-1].append(field)
        else:
            runs.append([field])
    return runs


def _codes(run: list[_Field]) -> str:
    return "".join(_FIXED[field.type][0] for field in run)


def _decode_struct(source: _Source, fields: tuple[_Field, ...]) -> str:
    name = f"decode_{len(source.functions)}"
    at = len(source.functions)
    source.functions.append("")
    lines = [f"def {name}(b, p):"]
    present = [field for field in fields if field.is_in(source.version)]
    for run in _runs(present):
        if run[0].type in _FIXED:
            targets = ", ".join(f"v_{field.name}" for field in run)
            size = sum(_FIXED[field.type][1] for field in run)
            lines.append(
                f" {targets}, = {source.fixed(_codes(run))}.unpack_from(b, p); p += {size}"
            )
        else:
            lines += _decode_sized(source, run[0])
    if source.is_flexible:
        lines.append(" p = skip_tags(b, p)")
    items = [f"{field.name!r}: v_{field.name}" for field in present]
    for field in fields:
        if field not in present:
            fresh = "[]" if field.type.startswith("[]") and not field.has_default else None
            items.append(f"{field.name!r}: {fresh or source.constant(field.default)}")
    lines.append(f" return {{{', '.join(items)}}}, p")
    source.functions[at] = "\n".join(lines)
    return name


def _decode_sized(source: _Source, field: _Field) -> list[str]:
    target = f"v_{field.name}"
    refuse = f"raise malformed('expected {field.name}, found null')"
    if not field.type.startswith("[]"):
        lines = [f" {target}, p = {source.prefixed('read_' + field.type)}(b, p)"]
        if not field.is_nullable(source.version) and field.type != "records":
            lines.append(f" if {target} is None: {refuse}")
        return lines
    item = field.type[2:]
    lines = [f" n, p = {source.prefixed('read_array_length')}(b, p)"]
    lines += [f" if n < 0: {f'{target} = None' if field.is_nullable(source.version) else refuse}"]
    lines += [" else:", f"  {target} = []", "  for _ in range(n):"]
    if not item:
        lines.append(f"   x, p = {_decode_struct(source, field.children)}(b, p)")
    elif item in _FIXED:
        codes, size, _ = _FIXED[item]
        lines.append(f"   x, = {source.fixed(codes)}.unpack_from(b, p); p += {size}")
    else:
        lines.append(f"   x, p = {source.prefixed('read_' + item)}(b, p)")
    return [*lines, f"   {target}.append(x)"]


def _value(source: _Source, field: _Field) -> str:
    if not field.has_default:
        return f"m[{field.name!r}]"
    return f"m.get({field.name!r}, {source.constant(field.default)})"


def _encode_struct(source: _Source, fields: tuple[_Field, ...]) -> str:
    name = f"encode_{len(source.functions)}"
    at = len(source.functions)
    source.functions.append("")
    lines = [f"def {name}(m, w):"]
    for run in _runs([field for field in fields if field.is_in(source.version)]):
        if run[0].type in _FIXED:
            values = ", ".join(_value(source, field) for field in run)
            lines.append(f" w({source.fixed(_codes(run))}.pack({values}))")
        else:
            lines += _encode_sized(source, run[0])
    lines.append(" w(b'\\0')" if source.is_flexible else " return")
    source.functions[at] = "\n".join(lines)
    return name


def _encode_sized(source: _Source, field: _Field) -> list[str]:
    value = _value(source, field)
    if field.type == "records":
        size = source.prefixed("array_length")
        return [f" x = {value}", f" w({size}(sum(map(len, x))))", " for y in x: w(y)"]
    if not field.type.startswith("[]"):
        return [f" w({source.prefixed(field.type)}({value}))"]
    item = field.type[2:]
    size = source.prefixed("array_length")
    lines = [f" x = {value}", f" if x is None: w({size}(-1))", " else:", f"  w({size}(len(x)))"]
    if not item:
        return [*lines, f"  for y in x: {_encode_struct(source, field.children)}(y, w)"]
    if item in _FIXED:
        return [*lines, f"  for y in x: w({source.fixed(_FIXED[item][0])}.pack(y))"]
    return [*lines, f"  for y in x: w({source.prefixed(item)}(y))"]


@cache
def request_decoder(api: Api, version: int) -> Decoder:
    """Compile the decoder of a request."""
    source = _Source(version, is_flexible=api.is_flexible(version))
    decoder: Decoder = source.compiled(_decode_struct(source, _table(api.request)), api.name)
    return decoder


@cache
def response_encoder(api: Api, version: int) -> Encoder:
    """Compile the encoder of a response."""
    source = _Source(version, is_flexible=api.is_flexible(version))
    encoder: Encoder = source.compiled(_encode_struct(source, _table(api.response)), api.name)
    return encoder


def response_decoder(api: Api, version: int) -> Decoder:
    """Compile the decoder of a response, for tests."""
    source = _Source(version, is_flexible=api.is_flexible(version))
    decoder: Decoder = source.compiled(_decode_struct(source, _table(api.response)), api.name)
    return decoder


def request_encoder(api: Api, version: int) -> Encoder:
    """Compile the encoder of a request, for tests."""
    source = _Source(version, is_flexible=api.is_flexible(version))
    encoder: Encoder = source.compiled(_encode_struct(source, _table(api.request)), api.name)
    return encoder
