"""Runs the Python of a documentation page, as a reader would who pastes it in order."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.millrace_server import PROJECT

DOCS = PROJECT / "infra" / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    """Return the code blocks of a page."""
    return _BLOCK.findall((DOCS / page).read_text())


def run_page(
    page: str, monkeypatch: pytest.MonkeyPatch, *, kafka: str, without: str = ""
) -> dict[str, Any]:
    """Run the blocks of a page in order, but for one that holds a text; return its names."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("KAFKA", kafka)
    names: dict[str, Any] = {"__name__": page}
    found = blocks(page)
    assert found, f"expected code in {page}"
    for number, block in enumerate(found):
        if without and without in block:
            continue
        exec(compile(block, f"{page}[{number}]", "exec"), names)
    return names


def lines_of(page: str) -> int:
    """Return how long a page is."""
    return len(Path(DOCS / page).read_text().splitlines())
