"""Where settings come from: defaults, a TOML file, the environment, flags; the later one wins.

Every value remembers its source, for `--print-settings`. A name that is no setting and a value of
the wrong kind are refused in one sentence: a typo must not become a silent default.
"""

import ast
import difflib
import inspect
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from infra.settings import DERIVED, Settings

PREFIX = "MILLRACE_"
_TEST_PREFIX = "MILLRACE_TEST_"
DEFAULT = "default"

Tree = dict[str, object]
Model = TypeVar("Model", bound=msgspec.Struct)


class SettingsError(Exception):
    """The settings cannot be used; the message says which one and why."""


class Setting(msgspec.Struct, frozen=True):
    """One field: its dotted path, kind, default, and the struct that has it."""

    path: str
    kind: Any
    default: object
    owner: type[msgspec.Struct]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.path.replace(".", "_").upper()

    @property
    def description(self) -> str:
        """What it means: from `msgspec.Meta` or the docstring below it; read from the source."""
        name = self.path.rpartition(".")[2]
        hint = get_type_hints(self.owner, include_extras=True)[name]
        return _described(hint) or docstrings(self.owner).get(name, "")


class Loaded(msgspec.Struct, frozen=True):
    """The effective settings, and the source of each by path."""

    settings: Settings
    sources: Mapping[str, str]


@cache
def all_settings() -> Mapping[str, Setting]:
    """Return every setting by its path."""
    return {setting.path: setting for setting in _walk(Settings, "")}


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """Merge the sources; raises SettingsError."""
    values: dict[str, object] = {}
    sources = dict.fromkeys(all_settings(), DEFAULT)
    layers = [
        *([] if file is None else [(str(file), _of_file(file))]),
        ("environment", _of_environment(environment or {})),
        ("flag", dict(flags or {})),
    ]
    for source, layer in layers:
        for path, value in layer.items():
            values[path] = _converted(_known(path), value, source)
            sources[path] = source
    return Loaded(_nested(values), sources)


def shown(loaded: Loaded) -> str:
    """Return the effective settings as TOML, each with its source and description."""
    lines: list[str] = []
    section = ""
    for path, setting in all_settings().items():
        head, _, name = path.rpartition(".")
        if head != section:
            lines += ["", f"[{head}]"] if lines else [f"[{head}]"]
            section = head
        value = _toml(_value_at(loaded.settings, path))
        lines.append(f"# {setting.description} [{loaded.sources[path]}; {setting.variable}]")
        lines.append(f"{name} = {value}" if value else f"# {name} is not set")
    return "\n".join(lines) + "\n"


def _walk(kind: type[msgspec.Struct], prefix: str) -> Iterator[Setting]:
    for field in msgspec.structs.fields(kind):
        path = f"{prefix}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _walk(field.type, f"{path}.")
        elif path not in DERIVED:
            yield Setting(path, field.type, field.default, kind)


def _described(hint: Any) -> str:
    """Return the description of `Annotated[..., msgspec.Meta(description=...)]`, or nothing."""
    if get_origin(hint) is not Annotated:
        return ""
    metas = [meta for meta in get_args(hint)[1:] if isinstance(meta, msgspec.Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def docstrings(kind: type) -> dict[str, str]:
    """Return the docstring that stands below each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _known(path: str) -> Setting:
    found = all_settings().get(path)
    if found is None:
        raise SettingsError(f"{path} is no setting{_nearest(path, all_settings())}.")
    return found


def _nearest(name: str, names: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f" (nearest: {close[0]})" if close else ""


def _converted(setting: Setting, value: object, source: str) -> object:
    if get_origin(setting.kind) is tuple and isinstance(value, str):
        value = value.split(",")
    try:
        return msgspec.convert(value, setting.kind, strict=False, dec_hook=_path_of)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{setting.path} from {source} cannot be {value!r}: {error}."
        ) from error


def _path_of(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    raise msgspec.ValidationError(f"Expected a {kind.__name__}")


def _of_file(file: Path) -> dict[str, object]:
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"Cannot read {file}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from error
    return dict(_leaves(tables, ""))


def _leaves(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _of_environment(environment: Mapping[str, str]) -> dict[str, object]:
    variables = {setting.variable: setting for setting in all_settings().values()}
    found: dict[str, object] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name.startswith(_TEST_PREFIX):
            continue
        if name not in variables:
            raise SettingsError(f"{name} is no setting{_nearest(name, variables)}.")
        found[variables[name].path] = text
    return found


def _nested(values: Mapping[str, object]) -> Settings:
    """Put values at their paths into the defaults."""
    tree: Tree = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        branch = tree
        for section in sections:
            below = branch.setdefault(section, {})
            assert isinstance(below, dict), f"expected {section} of {path} to be a section"
            branch = below
        branch[name] = value
    return _replaced(Settings(), tree)


def _replaced(model: Model, tree: Tree) -> Model:
    changes = {
        name: _replaced(getattr(model, name), value) if isinstance(value, dict) else value
        for name, value in tree.items()
    }
    return msgspec.structs.replace(model, **changes)


def _value_at(settings: Settings, path: str) -> object:
    value: object = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _toml(value: object) -> str:
    """Return a TOML value; empty for none."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple():
            return "[" + ", ".join(_toml(one) for one in value) + "]"
        case _:
            return msgspec.json.encode(str(value)).decode()
