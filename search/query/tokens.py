"""The words of a query: names, strings, numbers and signs, with where each of them ends.

Follows the MySQL-like dialect that Temporal parses: strings in either quote, doubled or with
backslashes; names in backticks; comments in three styles. A token that is none is an "error"
token: the parser reports it where it stands.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

TokenKind = Literal["name", "keyword", "string", "integer", "float", "sign", "error", "end"]


class Token(NamedTuple):
    """A token; `text` is what errors show of it, `end` the position behind it in characters."""

    kind: TokenKind
    text: str
    end: int


_WORDS: Final = """
and or not in between starts_with is null true false like regexp rlike escape
group by having order asc desc limit offset select where from union
"""
KEYWORDS: Final = frozenset(_WORDS.split())

_WHITE: Final = re.compile(r"[ \n\r\t]+|//[^\n]*|#[^\n]*|--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_@][A-Za-z0-9_@]*")
_NUMBER: Final = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d*)?", re.ASCII)
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]*")
_QUOTED_NAME: Final = re.compile(r"`((?:[^`]|``)+)`(?!`)")
_SIGN: Final = re.compile(r"<=>|<>|!=|<=|>=|&&|\|\||[=<>!(),+*%^~;.&|/?:-]")
_ESCAPES: Final = {
    "0": "\x00",
    "b": "\b",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "Z": "\x1a",
}


def tokens_of(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, an "end" last; nothing follows an "error"."""
    at = 0
    while True:
        at = _skip(text, at)
        if at >= len(text):
            yield Token("end", "", len(text))
            return
        token = _token_at(text, at)
        yield token
        if token.kind == "error":
            return
        at = token.end


def _skip(text: str, at: int) -> int:
    while found := _WHITE.match(text, at):
        at = found.end()
    return at


def _token_at(text: str, at: int) -> Token:
    letter = text[at]
    if letter in "'\"`":
        return _quoted_name(text, at) if letter == "`" else _string(text, at)
    if letter.isascii() and (letter.isdigit() or _NUMBER.match(text, at)):
        return _number(text, at)
    if found := _NAME.match(text, at):
        return _word(found)
    if found := _SIGN.match(text, at):
        return Token("sign", found[0], found.end())
    return Token("error", letter, at + 1)


def _word(found: re.Match[str]) -> Token:
    lowered = found[0].lower()
    if lowered in KEYWORDS:
        return Token("keyword", lowered, found.end())
    return Token("name", found[0], found.end())


def _number(text: str, at: int) -> Token:
    found = _HEX.match(text, at) or _NUMBER.match(text, at)
    assert found is not None
    if _NAME.match(text, found.end()):  # a letter cannot follow a number
        return Token("error", found[0], found.end())
    is_whole = found[0].isdigit() or found[0][:2] in ("0x", "0X")
    return Token("integer" if is_whole else "float", found[0], found.end())


def _quoted_name(text: str, at: int) -> Token:
    found = _QUOTED_NAME.match(text, at)
    if found is None:
        return Token("error", text[at + 1 :], len(text))
    return Token("name", found[1].replace("``", "`"), found.end())


def _string(text: str, start: int) -> Token:
    quote, at, letters = text[start], start + 1, list[str]()
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            letters.append(_ESCAPES.get(text[at + 1], text[at + 1]))
            at += 2
        elif letter == quote and text[at + 1 : at + 2] == quote:
            letters.append(quote)
            at += 2
        elif letter == quote:
            return Token("string", "".join(letters), at + 1)
        else:
            letters.append(letter)
            at += 1
    return Token("error", "".join(letters), len(text))
