"""Words of a text: how Text attributes are cut for search, the same for every store.

Close to Unicode's word boundaries (UAX 29) as Elasticsearch's standard analyzer cuts: runs of
letters, digits, marks and `_`, lower-cased; `.`, `'` and `:` hold letters together, `.`, `,` and
`'` digits; an ideograph or a hiragana is a word of its own. Both stores index these words, not
the text, so no analyzer of theirs has a say.
"""

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

PRESENCE: Final = "_"
"""Stored with the words of every text, so that a text without words is there too."""
LENGTH_MAX: Final = 100

_BETWEEN_LETTERS: Final = frozenset(".':\u00b7\u2019")
_BETWEEN_DIGITS: Final = frozenset(".,';\u2019")
_ALONE: Final = (
    (0x3040, 0x309F),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text in order, each once."""
    return tuple(dict.fromkeys(_cut(text.lower())))


def _cut(text: str) -> Iterator[str]:
    padded = text + "\n"
    start = -1
    for at, (letter, following) in enumerate(pairwise(padded)):
        if _is_alone(letter):
            yield from _pieces(padded[start:at] if start >= 0 else "")
            yield letter
            start = -1
        elif _is_part(letter) or (start >= 0 and _joins(padded[at - 1], letter, following)):
            start = at if start < 0 else start
        elif start >= 0:
            yield from _pieces(padded[start:at])
            start = -1
    if start >= 0:
        yield from _pieces(text[start:])


def _pieces(word: str) -> Iterator[str]:
    if any(letter.isalnum() for letter in word):
        for at in range(0, len(word), LENGTH_MAX):
            yield word[at : at + LENGTH_MAX]


def _is_part(letter: str) -> bool:
    if letter.isascii():
        return letter.isalnum() or letter == "_"
    return letter.isalnum() or unicodedata.category(letter).startswith("M")


def _is_alone(letter: str) -> bool:
    return letter >= "\u3040" and any(low <= ord(letter) <= high for low, high in _ALONE)


def _joins(before: str, letter: str, after: str) -> bool:
    if letter in _BETWEEN_LETTERS and _is_letter(before) and _is_letter(after):
        return True
    return letter in _BETWEEN_DIGITS and before.isdigit() and after.isdigit()


def _is_letter(letter: str) -> bool:
    return letter.isalpha() and not _is_alone(letter)
