"""The pages in the project's root: what they point at exists."""

import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "infra").glob("d*/*.md")])
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`|\]\(([\w./-]+)\)")
_OF_A_USER = {"./data/dev", "data/dev"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_on_a_page_exists(page: Path) -> None:
    """A reader who follows it finds something."""
    paths = {one or other for one, other in _PATH.findall(page.read_text())}
    roots = (ROOT, page.parent)
    gone = {
        path
        for path in paths - _OF_A_USER
        if not path.startswith(("http", "./")) and not any((root / path).exists() for root in roots)
    }
    assert gone == set()


def test_the_readme_has_two_commands() -> None:
    """Exactly `make dev` and `make test`; the rest is options."""
    commands = re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == ["dev", "test"]


def test_decisions_are_numbered_without_holes() -> None:
    """Each has its context, decision and consequences, on one screen."""
    pages = sorted((ROOT / "infra/decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences"))
