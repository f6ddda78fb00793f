"""Words: names say what a thing is; nothing is promised for later (style.md, Words)."""

import ast
import re

from tests.house.sources import ROOT, Function, code, committed, suites

BANNED = {"manager", "helper", "helpers", "util", "utils", "handler", "processor", "data", "info"}
"""Nouns that say nothing. They may stand before a noun (`data_folder`), never as it."""
THEIRS = {
    "handler",  # grpcio's and logging's word for their own things
    "visit",
    "system_info",  # named as the RPC: GetSystemInfo
    "cluster_info",  # named as the RPC: GetClusterInfo
    "version_info",
    "custom_data",  # named as the API's field
    "on_data",
}
"""Words that a library, an RPC or a field of the API fixes."""
FIELDS = ("_failure_info", "_search_attributes_info")
"""Endings of the API's own field names."""

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PROMISES = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
_TEXT = {".py", ".md", ".toml", ".avsc", ".sh", ".yaml", ".yml", ""}


def test_no_banned_noun_is_a_name() -> None:
    """A manager, a helper or data is the name of something that has not been understood."""
    found = [
        f"{source.path}:{node.lineno} {name}"
        for source in code()
        for node, name in _names(source.tree)
        if name not in THEIRS and not name.endswith(FIELDS) and _noun(name) in BANNED
    ]
    assert found == []


def test_no_banned_noun_is_a_module() -> None:
    """Modules are nouns too."""
    modules = [source.path for source in (*code(), *suites())]
    found = [path for path in modules if _noun(path.rpartition("/")[2][: -len(".py")]) in BANNED]
    assert found == []


def test_nothing_is_promised_for_later() -> None:
    """What is missing is an issue, not a comment."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in committed()
        if path.suffix in _TEXT and path.name not in ("test_words.py", "LICENSE", "pyproject.toml")
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if _PROMISES.search(line)
    ]
    assert found == []


def test_every_exception_to_the_linters_gives_its_reason() -> None:
    """`noqa` and `type: ignore` name a rule and say why."""
    bare = re.compile(r"#\s*(noqa|type: ignore)(?!: [A-Z]+\d+|\[)|#\s*noqa: [A-Z0-9, ]+$")
    unexplained = re.compile(r"#\s*type: ignore\[[a-z-]+(, ?[a-z-]+)*\]\s*(# noqa.*)?$")
    found = [
        f"{source.path}:{number}"
        for source in code()
        for number, line in enumerate(source.text.splitlines(), 1)
        if bare.search(line) or unexplained.search(line)
    ]
    assert found == []


def test_broad_excepts_stand_only_where_a_loop_owns_something() -> None:
    """`except Exception` belongs to loops that own a process, an agent or an RPC, with a reason."""
    found = [
        f"{source.path}:{node.lineno}"
        for source in code()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and _is_broad(node.type)
        and not _passes_on(node)
        and "noqa: BLE001" not in source.text.splitlines()[node.lineno - 1]
    ]
    assert found == []


def _is_broad(kind: ast.expr | None) -> bool:
    return kind is None or (
        isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")
    )


def _passes_on(node: ast.ExceptHandler) -> bool:
    """Say whether it only cleans up: the same error goes on."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _noun(name: str) -> str:
    parts = _PARTS.findall(name)
    return parts[-1].lower() if parts else ""


Named = Function | ast.ClassDef | ast.arg | ast.expr


def _names(tree: ast.Module) -> list[tuple[Named, str]]:
    names: list[tuple[Named, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            names.append((node, node.name))
        elif isinstance(node, ast.arg):
            names.append((node, node.arg))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append((node, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.append((node, node.attr))
    return names
