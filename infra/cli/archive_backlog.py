"""`millrace archive backlog`: what is closed and not archived yet, asked of the owners."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from infra.cli.where import address_of, configure_where
from infra.failures import NodeFailure

if TYPE_CHECKING:
    from infra.outside import PartitionBacklog

SUMMARY: Final = "what is closed and not archived yet"

EPILOG: Final = """\
Ask the owner of each partition what waits for its archive, and which runs were set aside because
their archive refused them for good, with the reason. A run that waits or is set aside is not
deleted by retention. --retry has the runs that were set aside tried again.

examples:
  millrace archive backlog --kafka 127.0.0.1:9092
  millrace archive backlog --kafka 127.0.0.1:9092 --retry

`millrace dev` prints the address of its embedded Kafka when it starts. Run it where the nodes'
internal addresses can be reached.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.set_defaults(run=run)
    configure_where(parser)
    parser.add_argument(
        "--retry", action="store_true", help="have the runs that were set aside tried again"
    )


def run(options: argparse.Namespace) -> int:
    """Print the backlog; return the exit code."""
    from infra.outside import backlogs, retry  # noqa: PLC0415  # help need not wait for it
    from schemas.errors import ServiceError  # noqa: PLC0415  # help need not wait for it

    try:
        found = backlogs(address_of(options))
        _print(found)
        if options.retry:
            count = retry(address_of(options), found)
            sys.stdout.write(f"{count} runs are tried again.\n")
    except ServiceError as error:
        raise NodeFailure(error.message) from error
    return 0


def _print(found: "list[PartitionBacklog]") -> None:
    waiting: dict[str, int] = {}
    for each in found:
        for name, count in each.waiting.items():
            waiting[name] = waiting.get(name, 0) + count
    for name, count in sorted(waiting.items()):
        sys.stdout.write(f"{name}: {count:,} runs wait\n")
    if oldest := min((each.oldest_closed_at for each in found if each.oldest_closed_at), default=0):
        minutes = max(0.0, time.time() - oldest / 1e9) / 60
        sys.stdout.write(f"the oldest closed {minutes:,.1f} minutes ago\n")
    aside = [run for each in found for run in each.set_aside]
    for one in aside:
        sys.stdout.write(
            f"set aside: {one.namespace} {one.workflow_id} {one.run_id}: {one.reason}\n"
        )
    if not waiting and not aside:
        sys.stdout.write("Nothing waits: all that closed is archived.\n")
