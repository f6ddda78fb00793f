"""`millrace tail`: commands and events as they come, in readable form.

This file turns options into a filter; how records read stands in `infra/readable.py`.
"""

import argparse
import sys
from contextlib import suppress
from typing import Final

from infra.cli.where import address_of, configure_where
from infra.failures import NodeFailure

SUMMARY: Final = "Show commands and events as they come."

EPILOG: Final = """\
examples:
  millrace tail --kafka 127.0.0.1:9092                       everything from now on
  millrace tail --kafka 127.0.0.1:9092 -w order-17           one workflow id
  millrace tail --kafka 127.0.0.1:9092 -w order-17 --from-beginning --no-follow
  millrace tail --kafka 127.0.0.1:9092 --topic events        only what happened

`millrace dev` prints the address of its embedded Kafka when it starts.
"""

_TOPICS: Final = ("commands", "commands-internal", "events", "replies")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.set_defaults(run=run)
    configure_where(parser)
    parser.add_argument("--namespace", "-n", default="", help="only of this namespace")
    parser.add_argument("--workflow-id", "-w", default="", help="only of this workflow id")
    parser.add_argument(
        "--topic", "-t", action="append", choices=_TOPICS, help="only this topic; may be repeated"
    )
    parser.add_argument("--from-beginning", action="store_true", help="begin with the oldest")
    parser.add_argument("--no-follow", action="store_true", help="end with what is there now")


def run(options: argparse.Namespace) -> int:
    """Print until interrupted, or until the end; return the exit code."""
    address = address_of(options)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        _print(options, address)
    return 0


def _print(options: argparse.Namespace, address: str) -> None:
    from infra.readable import Lines, Wanted  # noqa: PLC0415  # help need not wait for it
    from schemas.errors import Unavailable  # noqa: PLC0415  # help need not wait for it
    from streams.kafka.spectator import watch  # noqa: PLC0415  # help need not wait for it

    lines = Lines(Wanted(namespace=options.namespace, workflow_id=options.workflow_id))
    topics = options.topic or _TOPICS
    seen = watch(
        address, topics, from_beginning=options.from_beginning, follow=not options.no_follow
    )
    try:
        for record in seen:
            for line in lines.of(record):
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except Unavailable as error:
        raise NodeFailure(error.message) from error
