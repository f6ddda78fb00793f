"""Everything says what it is for."""

import ast

from tests.house.sources import Function, code, suites

SHORTEST = 15


def test_every_module_says_its_purpose() -> None:
    """One sentence of purpose, then the rules of the file."""
    silent = [
        source.path
        for source in (*code(), *suites())
        if len(ast.get_docstring(source.tree) or "") < SHORTEST
    ]
    assert silent == []


def test_every_public_class_and_function_has_a_docstring() -> None:
    """One imperative sentence; shapes, units and errors where names don't tell."""
    silent = [
        f"{source.path}:{name}"
        for source in code()
        for name, node in _public(source.tree.body, "")
        if ast.get_docstring(node) is None
    ]
    assert silent == []


def test_every_test_states_its_claim() -> None:
    """The docstring of a test is the claim it proves."""
    silent = [
        f"{source.path}:{node.name}"
        for source in suites()
        for node in ast.walk(source.tree)
        if isinstance(node, Function)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []


def _public(body: list[ast.stmt], prefix: str) -> list[tuple[str, Function | ast.ClassDef]]:
    found: list[tuple[str, Function | ast.ClassDef]] = []
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if _is_overload(node) or _is_setter(node):
            continue
        found.append((prefix + node.name, node))
        if isinstance(node, ast.ClassDef):
            found += _public(node.body, f"{prefix}{node.name}.")
    return found


def _is_overload(node: Function | ast.ClassDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list)


def _is_setter(node: Function | ast.ClassDef) -> bool:
    return any(
        isinstance(one, ast.Attribute) and one.attr == "setter" for one in node.decorator_list
    )
