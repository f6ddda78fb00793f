"""The `millrace` command: one file per command, found through `commands.py`.

This file must parse on old Pythons: it is where they are turned away with a sentence.
"""

import sys


def main() -> int:
    """Run `millrace` with the process's arguments and return the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036  # pip's own check can be bypassed
        found = "{}.{}".format(*sys.version_info)
        sys.stderr.write(
            f"Millrace needs Python 3.11 or newer; this is Python {found} ({sys.executable}).\n"
        )
        return 2
    from infra.cli.commands import run  # noqa: PLC0415  # newer syntax begins behind the check

    return run(sys.argv[1:])
