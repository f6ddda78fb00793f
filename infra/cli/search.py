"""`millrace search`: how far the index of a server is behind, and building it anew.

Both ask a running server; with SQLite each node has an index of its own, and this is about the
index of the node that is asked.
"""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from infra.failures import NodeFailure

if TYPE_CHECKING:
    from streams.visibility.rebuild import Progress

SUMMARY: Final = "Look after the index that lists and counts use."

EPILOG: Final = """\
examples:
  millrace search lag                              of the server on 127.0.0.1:7233
  millrace search rebuild --address 127.0.0.1:7300
"""

_ADDRESS: Final = "127.0.0.1:7233"
_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    lag = inner.add_parser("lag", help="how many transitions are not in the index")
    _configure_where(lag)
    lag.set_defaults(run=run_lag)
    rebuild = inner.add_parser(
        "rebuild",
        help="build a new index beside the live one, and swap them when it is complete",
        description="Build a new index from the tables and the log, and swap it in. Nothing stops; "
        "interrupted, this command ends and the rebuild goes on.",
    )
    _configure_where(rebuild)
    rebuild.set_defaults(run=run_rebuild)


def run_lag(options: argparse.Namespace) -> int:
    """Print the lag by partition; return the exit code."""
    import msgspec  # noqa: PLC0415  # help need not wait for it

    from streams.frontend.searching import LAG, LagAnswer  # noqa: PLC0415  # nor for it

    answer = msgspec.json.decode(_asked(options, LAG), type=LagAnswer)
    for each in answer.partitions:
        sys.stdout.write(
            f"partition {each.partition}: {each.count} behind "
            f"(accepted {each.accepted_seq}, indexed {each.indexed_seq})\n"
        )
    sys.stdout.write(f"{answer.count} transitions behind\n")
    return 0


def run_rebuild(options: argparse.Namespace) -> int:
    """Build anew and print the progress; return the exit code."""
    import msgspec  # noqa: PLC0415  # help need not wait for it

    from streams.frontend.searching import PROGRESS, REBUILD  # noqa: PLC0415  # nor for it
    from streams.visibility.rebuild import Progress  # noqa: PLC0415  # nor for it

    began_at = time.monotonic()
    progress = msgspec.json.decode(_asked(options, REBUILD), type=Progress)
    shown = ""
    while True:
        if (line := _line(progress)) != shown:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            shown = line
        if progress.phase == "failed":
            raise NodeFailure(f"The rebuild failed, the live index is as it was: {progress.error}.")
        if progress.phase == "done":
            took_s = time.monotonic() - began_at
            sys.stdout.write(f"rebuilt {progress.runs_count} runs in {took_s:.1f} s\n")
            return 0
        time.sleep(_LOOK_S)
        progress = msgspec.json.decode(_asked(options, PROGRESS), type=Progress)


def _line(progress: "Progress") -> str:
    return (
        f"{progress.phase}: {progress.runs_count} runs, "
        f"{progress.partitions_done_count} of {progress.partitions_count} partitions"
    )


def _configure_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address", metavar="HOST:PORT", default=_ADDRESS, help=f"the server ({_ADDRESS})"
    )


def _asked(options: argparse.Namespace, method: str) -> bytes:
    from schemas.errors import Unavailable  # noqa: PLC0415  # help need not wait for it
    from streams.frontend.client_transport import Refused, ask  # noqa: PLC0415  # nor for it
    from streams.frontend.searching import SERVICE  # noqa: PLC0415  # nor for it

    try:
        return ask(options.address, SERVICE + method, timeout_s=_TIMEOUT_S)
    except (Unavailable, Refused) as error:
        raise NodeFailure(str(error)) from error
