"""What `millrace` can be asked: the table of its commands, and what goes wrong as one sentence.

Another command is a file beside this one and a row in the table.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from infra.cli import archive, dead_letters, dev, search, serve, tail
from infra.failures import CANNOT_START, FAILED, NodeFailure, StartFailure
from infra.sources import SettingsError

Run = Callable[[argparse.Namespace], int]

EPILOG: Final = """\
examples:
  millrace dev                               a server in a temporary folder, on 127.0.0.1:7233
  millrace dev --db-filename ./data          keeps its data in ./data
  millrace dev --port 7300 -n orders         another port, and a namespace `orders`
  millrace serve --kafka 127.0.0.1:9092      one node of several on a Kafka of yours
  millrace search lag                        how far lists are behind what happened
  millrace tail --kafka 127.0.0.1:9092       commands and events as they come

try next:
  millrace dev --help                        every option
  temporal workflow list                     Temporal's own tools talk to it, as do its SDKs
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="millrace",
        description="A Temporal server as an event-sourced stream-processing system on Kafka.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"millrace {version('millrace')}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    dev.configure(_command(commands, "dev", dev.SUMMARY, dev.EPILOG))
    serve.configure(_command(commands, "serve", serve.SUMMARY, serve.EPILOG))
    tail.configure(_command(commands, "tail", tail.SUMMARY, tail.EPILOG))
    dead_letters.configure(
        _command(commands, "dead-letters", dead_letters.SUMMARY, dead_letters.EPILOG)
    )
    search.configure(_command(commands, "search", search.SUMMARY, search.EPILOG))
    archive.configure(_command(commands, "archive", archive.SUMMARY, archive.EPILOG))
    server = _command(commands, "server", "Temporal's spelling of `dev`.", "")
    inner = server.add_subparsers(title="commands", metavar="COMMAND", required=True)
    dev.configure(_command(inner, "start-dev", dev.SUMMARY, dev.EPILOG))
    return top


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code."""
    try:
        chosen = parser().parse_args(arguments)
        command: Run = chosen.run
        return command(chosen)
    except (StartFailure, SettingsError) as failure:
        sys.stderr.write(f"{failure}\n")
        return CANNOT_START
    except NodeFailure as failure:
        sys.stderr.write(f"{failure}\n")
        return FAILED


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    epilog: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
