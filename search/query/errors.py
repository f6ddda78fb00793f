"""What is wrong with a query, in Temporal's words."""

from schemas.errors import InvalidArgument


class QueryError(InvalidArgument):
    """A query that cannot be answered; the message begins with `invalid query: `."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid query: {reason}")


def malformed(reason: str) -> QueryError:
    """Return the error of a text that does not parse."""
    return QueryError(f"malformed SQL query: {reason}")


def unsupported(reason: str) -> QueryError:
    """Return the error of what parses but is not offered."""
    return QueryError(f"operation is not supported: {reason}")


def invalid(reason: str) -> QueryError:
    """Return the error of what makes no sense."""
    return QueryError(f"invalid expression: {reason}")
