"""Whether an expression holds of one run, in memory: for runs that lie in no search store.

The same meaning as the stores give it (`query/expressions.py`): a leaf is false where the run
lacks the attribute, and true if one of several values makes it so. Strings compare by the bytes
of their UTF-8.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from search.attributes import Value
from search.query import expressions as on
from search.query.expressions import Column, Expression, Leaf
from search.words import words_of

Values = Callable[[Column], Sequence[Value]]
"""The values that a run has in a column; none: it lacks the attribute."""

_SIGNS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(expression: Expression, values: Values) -> bool:
    """Whether an expression is true of the run that has these values."""
    match expression:
        case on.Everything():
            return True
        case on.Never():
            return False
        case on.Not(inner):
            return not holds(inner, values)
        case on.All(parts):
            return all(holds(part, values) for part in parts)
        case on.Any(parts):
            return any(holds(part, values) for part in parts)
        case leaf:
            return any(_fits(leaf, held) for held in values(leaf.column))


def _fits(leaf: Leaf, held: Value) -> bool:
    """Whether one value makes a leaf true."""
    match leaf:
        case on.Compare(_, sign, value):
            return bool(_SIGNS[sign](_comparable(held), _comparable(value)))
        case on.OneOf(_, wanted):
            return held in wanted
        case on.Between(_, low, high):
            return bool(_comparable(low) <= _comparable(held) <= _comparable(high))
        case on.StartsWith(_, prefix):
            return str(held).startswith(prefix)
        case on.HasWord(_, words):
            return not set(words).isdisjoint(words_of(str(held)))
        case on.Exists():
            return True


def _comparable(value: Value) -> Any:
    return value.encode() if isinstance(value, str) else value
