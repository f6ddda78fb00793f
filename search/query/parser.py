"""The parser: text to syntax, without recursion, so that depth is a limit and not a crash.

A query is what may follow `select * from table1 where`; when it begins with ORDER BY or GROUP BY
there is no condition. Positions in errors count from the beginning of that statement, because
Temporal's do. Precedence: comparison, NOT, AND, OR.
"""

from collections.abc import Sequence
from typing import Final

from search.query import syntax
from search.query.errors import QueryError, malformed, unsupported
from search.query.syntax import Both, Either, Literally, Name, Negated, Several, Statement, Syntax
from search.query.tokens import Token, tokens_of

NESTING_MAX: Final = 200

_STATEMENT: Final = len("select * from table1 ")
_WHERE: Final = len("where ")
_JOINS: Final = {"and": "and", "&&": "and", "or": "or", "||": "or"}
_PRECEDENCE: Final = {"(": 0, "or": 1, "and": 2, "not": 3}
_COMPARISONS: Final = {
    "=": "=",
    "!=": "!=",
    "<>": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
_WORD_COMPARISONS: Final = {
    "starts_with": "starts_with",
    "like": "like",
    "regexp": "regexp",
    "rlike": "regexp",
}


def parse(text: str) -> Statement:
    """Parse a query; raises QueryError."""
    return _Parser(text.strip(" \t\r\n")).statement()


class _Parser:
    """One text being parsed: its tokens, and how far it got."""

    def __init__(self, text: str) -> None:
        self._text = text
        lowered = text.lower()
        is_bare = not text or lowered.startswith(("order by", "group by"))
        self._has_where = not is_bare
        self._offset = _STATEMENT + (_WHERE if self._has_where else 0)
        self._tokens: Sequence[Token] = tuple(tokens_of(text))
        self._at = 0
        self._nesting = 0

    # -- clauses

    def statement(self) -> Statement:
        where = self._expression() if self._has_where else None
        group_by: list[Syntax] = []
        order_by: list[syntax.Sorted] = []
        if self._takes("group"):
            self._expects("by")
            group_by = [self._value()]
            while self._takes(","):
                group_by.append(self._value())
        if self._peek.kind == "keyword" and self._peek.text == "having":
            raise unsupported("'HAVING' clause")
        if self._takes("order"):
            self._expects("by")
            order_by = [self._sorted()]
            while self._takes(","):
                order_by.append(self._sorted())
        has_limit = self._limit()
        if self._peek.kind != "end":
            raise self._error("syntax error")
        return Statement(where, tuple(group_by), tuple(order_by), has_limit)

    def _sorted(self) -> syntax.Sorted:
        column = self._value()
        is_descending = self._takes("desc")
        if not is_descending:
            self._takes("asc")
        return syntax.Sorted(column, is_descending)

    def _limit(self) -> bool:
        if not self._takes("limit"):
            return False
        self._value()
        if self._takes(",") or self._takes("offset"):
            self._value()
        return True

    # -- conditions: operators wait on a stack until one that binds less comes along

    def _expression(self) -> Syntax:
        operands: list[Syntax] = []
        operators: list[str] = []
        while True:
            self._prefixes(operators)
            operands.append(self._predicate(self._value()))
            self._close_groups(operands, operators)
            join = self._takes_join()
            if not join:
                break
            self._reduce(operands, operators, down_to=_PRECEDENCE[join])
            operators.append(join)
        self._reduce(operands, operators, down_to=_PRECEDENCE["or"])
        if operators:
            raise self._error("syntax error")
        return operands[0]

    def _prefixes(self, operators: list[str]) -> None:
        while True:
            if self._takes("("):
                self._refuse_subquery()
                operators.append("(")
            elif self._takes("not") or self._takes("!"):
                operators.append("not")
            else:
                return
            self._nest()

    def _close_groups(self, operands: list[Syntax], operators: list[str]) -> None:
        while "(" in operators and self._takes(")"):
            self._reduce(operands, operators, down_to=_PRECEDENCE["or"])
            operators.pop()
            self._nesting -= 1
            operands.append(self._predicate(operands.pop()))

    def _takes_join(self) -> str:
        token = self._peek
        if token.kind in ("keyword", "sign") and token.text in _JOINS:
            self._at += 1
            return _JOINS[token.text]
        return ""

    def _reduce(self, operands: list[Syntax], operators: list[str], *, down_to: int) -> None:
        while operators and _PRECEDENCE[operators[-1]] >= down_to:
            operator = operators.pop()
            if operator == "not":
                self._nesting -= 1
                operands.append(Negated(operands.pop()))
            else:
                right = operands.pop()
                operands.append(_joined(operator, operands.pop(), right))

    # -- one comparison

    def _predicate(self, left: Syntax) -> Syntax:
        token = self._peek
        if token.kind == "sign" and token.text in _COMPARISONS:
            self._at += 1
            return syntax.Comparison(left, _COMPARISONS[token.text], self._value())
        if self._takes("is"):
            return syntax.Is(left, self._is_suffix())
        is_negated = token.kind == "keyword" and token.text == "not" and self._takes("not")
        found = self._word_predicate(left, is_negated=is_negated)
        if found is None and is_negated:
            raise self._error("syntax error")
        return left if found is None else found

    def _word_predicate(self, left: Syntax, *, is_negated: bool) -> Syntax | None:
        prefix = "not " if is_negated else ""
        if self._takes("in"):
            return syntax.Comparison(left, f"{prefix}in", self._several())
        if self._takes("between"):
            low = self._value()
            self._expects("and")
            return syntax.Range(left, low, self._value(), is_negated)
        word = self._peek.text if self._peek.kind == "keyword" else ""
        if word not in _WORD_COMPARISONS:
            return None
        self._at += 1
        right = self._value()
        if self._takes("escape"):
            self._value()
        return syntax.Comparison(left, prefix + _WORD_COMPARISONS[word], right)

    def _is_suffix(self) -> str:
        prefix = "not " if self._takes("not") else ""
        for word in ("null", "true", "false"):
            if self._takes(word):
                return prefix + word
        raise self._error("syntax error")

    # -- values

    def _several(self) -> Several:
        self._expects("(")
        self._refuse_subquery()
        values = [self._operand()]
        while self._takes(","):
            values.append(self._operand())
        self._expects(")")
        return Several(tuple(values))

    def _value(self) -> Syntax:
        if self._takes("("):  # a value or values in parentheses
            self._at -= 1
            several = self._several()
            return several.values[0] if len(several.values) == 1 else several
        return self._operand()

    def _operand(self) -> syntax.Operand:
        token = self._peek
        if token.kind == "string":
            self._at += 1
            return Literally(token.text)
        if token.kind == "name":
            return self._name()
        if token.kind == "keyword" and token.text in ("true", "false", "null"):
            self._at += 1
            return Literally({"true": True, "false": False}.get(token.text))
        is_negative = self._takes("-")
        if not is_negative:
            self._takes("+")
        return self._number(is_negative=is_negative)

    def _number(self, *, is_negative: bool) -> Literally:
        token = self._peek
        if token.kind not in ("integer", "float"):
            raise self._error("syntax error")
        self._at += 1
        text = f"-{token.text}" if is_negative else token.text
        try:
            number = int(text) if token.kind == "integer" else float(text)
        except ValueError:
            raise QueryError(f'invalid expression: unable to parse value "{text}"') from None
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            number = float(number)
        return Literally(number)

    def _name(self) -> Name | syntax.Call:
        name = self._peek.text
        self._at += 1
        if not self._takes("("):
            return Name(name)
        depth = 1
        while depth:
            if self._peek.kind in ("end", "error"):
                raise self._error("syntax error")
            depth += {"(": 1, ")": -1}.get(self._peek.text, 0) * (self._peek.kind == "sign")
            self._at += 1
        return syntax.Call(name)

    # -- tokens

    @property
    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _takes(self, text: str) -> bool:
        token = self._peek
        if token.kind in ("keyword", "sign") and token.text == text:
            self._at += 1
            return True
        return False

    def _expects(self, text: str) -> None:
        if not self._takes(text):
            raise self._error("syntax error")

    def _refuse_subquery(self) -> None:
        if self._peek.kind == "keyword" and self._peek.text == "select":
            raise unsupported("subquery")

    def _nest(self) -> None:
        self._nesting += 1
        if self._nesting >= NESTING_MAX:
            raise self._error("max nesting level reached")

    def _error(self, reason: str) -> QueryError:
        token = self._peek
        position = self._offset + len(self._text[: token.end].encode()) + 1
        near = f" near '{token.text}'" if token.text and token.kind != "sign" else ""
        return malformed(f"{reason} at position {position}{near}")


def _joined(operator: str, left: Syntax, right: Syntax) -> Syntax:
    kind = Both if operator == "and" else Either
    parts = left.parts if isinstance(left, kind) else (left,)
    return kind((*parts, right))
