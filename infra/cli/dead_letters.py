"""`millrace dead-letters`: commands that could not be decided, and why.

`list` shows one a line, `show` all of one by its number.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from infra.cli.where import address_of, configure_where
from infra.failures import NodeFailure, StartFailure

if TYPE_CHECKING:
    from streams.kafka.spectator import Seen

SUMMARY: Final = "Show commands that could not be decided, and why."

EPILOG: Final = """\
examples:
  millrace dead-letters list --kafka 127.0.0.1:9092
  millrace dead-letters show 3 --kafka 127.0.0.1:9092
"""

_TOPIC: Final = "dead-letters"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = inner.add_parser("list", help="one a line, the oldest first")
    configure_where(listing)
    listing.set_defaults(run=run_list)
    showing = inner.add_parser("show", help="all of one")
    showing.add_argument("number", type=int, help="its number in `list`")
    configure_where(showing)
    showing.set_defaults(run=run_show)


def run_list(options: argparse.Namespace) -> int:
    """Print all dead letters, one a line; return the exit code."""
    from infra.readable import letter_line  # noqa: PLC0415  # help need not wait for it

    count = 0
    for seen in _letters(options):
        sys.stdout.write(f"{letter_line(seen)}\n")
        count += 1
    if not count:
        sys.stderr.write("There are no dead letters.\n")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print one dead letter; return the exit code."""
    from infra.readable import letter_page  # noqa: PLC0415  # help need not wait for it

    for seen in _letters(options):
        if seen.offset == options.number:
            sys.stdout.write(f"{letter_page(seen)}\n")
            return 0
    raise StartFailure(
        f"There is no dead letter {options.number}: see `millrace dead-letters list`."
    )


def _letters(options: argparse.Namespace) -> "Iterator[Seen]":
    from schemas.errors import Unavailable  # noqa: PLC0415  # help need not wait for it
    from streams.kafka.spectator import watch  # noqa: PLC0415  # help need not wait for it

    try:
        yield from watch(address_of(options), (_TOPIC,), from_beginning=True, follow=False)
    except Unavailable as error:
        raise NodeFailure(error.message) from error
