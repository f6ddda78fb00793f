"""Every setting is documented and can be set from everywhere."""

import ast
import re

import pytest

from infra.sources import all_settings
from tests.house.sources import code

UNITS = re.compile(
    r"_(s|ms|bytes|count|limit|days|partitions|port|factor)$|generation$|_bytes_|"
    r"\b(seconds?|ms|milliseconds|bytes|count|days|port|how many|number of)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", all_settings())
def test_every_setting_is_described(path: str) -> None:
    """`--print-settings` says what each one means."""
    assert len(all_settings()[path].description) >= len("What it means")


@pytest.mark.parametrize("path", all_settings())
def test_every_number_has_its_unit(path: str) -> None:
    """In its name or in its description."""
    setting = all_settings()[path]
    if setting.kind in (int, float):
        assert UNITS.search(path) or UNITS.search(setting.description)


def test_every_settings_model_describes_its_fields() -> None:
    """Also those that `--print-settings` does not show, such as the broker's own flags."""
    silent = [
        f"{source.path}:{node.name}.{name}"
        for source in code()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings")
        for name in _undescribed(node)
    ]
    assert silent == []


def _undescribed(node: ast.ClassDef) -> list[str]:
    silent = []
    for field, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if not isinstance(field, ast.AnnAssign):
            continue
        is_described = "description=" in ast.unparse(field.annotation) or (
            isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        )
        if not is_described:
            silent.append(ast.unparse(field.target))
    return silent
