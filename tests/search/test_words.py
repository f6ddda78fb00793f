"""Words of a text, close to the standard analyzer's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.words import LENGTH_MAX, PRESENCE, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("--- _ ...", ()),
        ("Hello, hello WORLD!", ("hello", "world")),
        ("foo_bar foo-bar", ("foo_bar", "foo", "bar")),
        ("don't host.name a:b x. .y", ("don't", "host.name", "a:b", "x", "y")),
        ("1.5 1,000 3.x a.1", ("1.5", "1,000", "3", "x", "a", "1")),
        ("東京 tokyo", ("東", "京", "tokyo")),
        ("Straße e\u0301te\u0301", ("straße", "e\u0301te\u0301")),
        ("x" * (LENGTH_MAX + 5), ("x" * LENGTH_MAX, "x" * 5)),
    ],
)
def test_how_a_text_is_cut(text: str, words: tuple[str, ...]) -> None:
    """Runs of letters and digits, lower-cased, with what holds them together."""
    assert words == words_of(text)


@given(st.text())
def test_no_word_is_special_to_a_store(text: str) -> None:
    """No quotes, no white space, nothing empty, and never the mark of presence."""
    for word in words_of(text):
        assert word != PRESENCE
        assert 0 < len(word) <= LENGTH_MAX
        assert '"' not in word
        assert word.split() == [word]
