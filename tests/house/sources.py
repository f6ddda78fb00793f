"""The source files of the project as parsed trees, for the tests of the house."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("archival", "infra", "schemas", "search", "streams", "topology")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """One file."""

    path: str
    text: str
    tree: ast.Module


@cache
def code() -> tuple[Source, ...]:
    """Return the files of the packages."""
    return tuple(_source(path) for package in PACKAGES for path in _files(package))


@cache
def suites() -> tuple[Source, ...]:
    """Return the files of the tests."""
    return tuple(_source(path) for path in _files("tests"))


def functions(source: Source) -> list[Function]:
    """Return every function and method of a file."""
    return [node for node in ast.walk(source.tree) if isinstance(node, Function)]


def length(function: Function) -> int:
    """Return the lines of a function without its docstring."""
    assert function.end_lineno is not None
    first = function.body[0]
    skipped = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        assert first.end_lineno is not None
        skipped = first.end_lineno - first.lineno + 1
    return function.end_lineno - function.lineno + 1 - skipped


def committed() -> list[Path]:
    """Return every file under version control, or every file where there is none."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "build" not in path.parts)


def _source(path: Path) -> Source:
    text = path.read_text()
    return Source(str(path.relative_to(ROOT)), text, ast.parse(text, str(path)))
