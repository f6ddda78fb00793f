"""Sizes: what a reader can hold in mind (style.md, Numbers)."""

import ast
import re
from statistics import median

from tests.house.sources import code, functions, length, suites

MODULE_LINES = 500
FUNCTION_LINES = 70
MEDIAN_LINES = 10
LINE_CHARACTERS = 100
NESTING = 3
ARGUMENTS = 6
POSITIONAL = 4

_PRAGMA = re.compile(r"\s*# (noqa|type: ignore).*$")
"""A linter's exception with its reason may stand behind the line."""
_NESTS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)


def test_no_module_is_longer_than_500_lines() -> None:
    """A module over 500 lines has a second room in it."""
    long = {
        source.path: count
        for source in (*code(), *suites())
        if (count := len(source.text.splitlines())) > MODULE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_70_lines() -> None:
    """A function over 70 lines hides a name for its parts."""
    long = {
        f"{source.path}:{function.name}": length(function)
        for source in (*code(), *suites())
        for function in functions(source)
        if length(function) > FUNCTION_LINES
    }
    assert long == {}


def test_the_median_function_has_at_most_10_lines() -> None:
    """Small functions are the rule."""
    lengths = [length(function) for source in code() for function in functions(source)]
    assert median(lengths) <= MEDIAN_LINES


def test_no_line_is_longer_than_100_characters() -> None:
    """Lines fit on a screen beside another file."""
    long = [
        f"{source.path}:{number}"
        for source in (*code(), *suites())
        for number, line in enumerate(source.text.splitlines(), 1)
        if len(_PRAGMA.sub("", line)) > LINE_CHARACTERS
    ]
    assert long == []


def test_nothing_nests_deeper_than_3() -> None:
    """Deeper nesting wants a function."""
    deep = {
        f"{source.path}:{function.name}": depth
        for source in code()
        for function in functions(source)
        if (depth := _depth(function.body)) > NESTING
    }
    assert deep == {}


def test_no_function_takes_more_than_6_arguments() -> None:
    """More arguments than 6 want a value that holds them; a noqa gives the reason otherwise."""
    many = {
        f"{source.path}:{function.name}": count
        for source in code()
        for function in functions(source)
        if (count := len(_arguments(function))) > ARGUMENTS
        and "PLR0913" not in source.text.splitlines()[function.lineno - 1]
    }
    assert many == {}


def test_no_function_takes_more_than_4_arguments_by_position() -> None:
    """What is more is by keyword; ports of the domain (topic, partition, offset, ...) fit in."""
    many = {
        f"{source.path}:{function.name}": len(names)
        for source in code()
        for function in functions(source)
        if len(names := _positional(function)) > POSITIONAL
    }
    assert many == {}


def _positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    every = [*function.args.posonlyargs, *function.args.args]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def _depth(body: list[ast.stmt]) -> int:
    return max((_depth_of(statement) for statement in body), default=0)


def _depth_of(statement: ast.stmt) -> int:
    if isinstance(statement, ast.With | ast.AsyncWith):
        return _depth(statement.body)
    if not isinstance(statement, _NESTS):
        return 0
    inner = [_depth(statement.body)] if hasattr(statement, "body") else []
    inner += [_depth(handler.body) for handler in getattr(statement, "handlers", ())]
    inner += [_depth(case.body) for case in getattr(statement, "cases", ())]
    inner.append(_depth(getattr(statement, "finalbody", [])))
    orelse = getattr(statement, "orelse", [])
    is_elif = len(orelse) == 1 and isinstance(orelse[0], ast.If) and isinstance(statement, ast.If)
    return max(1 + max(inner), _depth(orelse) if is_elif else 1 + _depth(orelse))
