"""`millrace archive`: copy archives, make existing ones searchable, verify, delete; what waits.

But for the last they work on the archive itself and need no server. This file turns options into
calls of `archival/transfer.py` and shows how far they are.
"""

import argparse
import base64
import binascii
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infra.cli import archive_backlog
from infra.failures import FAILED, NodeFailure, StartFailure
from infra.sources import load

if TYPE_CHECKING:
    from archival.archive import Archive
    from archival.query import Filter
    from archival.transfer import Progress

SUMMARY: Final = "Copy, index, verify and empty archives of closed runs; see what waits for them."

EPILOG: Final = """\
An archive is a folder (file:///path) or a place in a bucket (s3://bucket/path): histories and
visibility records in the layout of Temporal's archivers, and beside them Parquet files under
millrace/<namespace id>/lake/ that DuckDB, pyarrow and Spark read as they lie there.

examples:
  millrace archive verify file:///srv/archive
  millrace archive export file:///srv/archive s3://cold/archive \\
      --query "CloseTime < '2026-01-01T00:00:00Z'"
  millrace archive import s3://temporal-archive      make what Temporal wrote searchable
  millrace archive delete s3://cold/archive --query "WorkflowType = 'Test'" --yes
  millrace archive backlog --kafka 127.0.0.1:9092    what is closed and not archived yet
  millrace archive verify s3://cold --set archival.s3.endpoint=http://127.0.0.1:9000 \\
      --set archival.s3.path_style=true

Credentials of S3 come from where the AWS SDKs look: environment, shared files, the instance.
"""

_EXPORT: Final = """\
Archive the runs of one archive in another. A copied run is read whole and compared with what was
written. It may be interrupted and run again: what is there is found there.
"""
_IMPORT: Final = """\
Make the runs of an archive that Temporal's server wrote (or whose Parquet files are lost)
searchable, where they lie: nothing is copied, and Temporal goes on reading it. Histories are read
once, for their checksums.
"""
_VERIFY: Final = """\
Read every archived run: its record, and its history against the checksum and the length that were
noted when it was written.
"""
_DELETE: Final = """\
Remove archived runs: from lists, their records, their histories, and from the Parquet files.
Without a query: all runs of the archive, or of the namespaces that are named. Workflows that a
server still keeps stay there.
"""
_SECONDS: Final = 0.5

Report = Callable[["Progress"], None]
Work = Callable[[str, bytes, Report], int]
"""Does one namespace from a token on; returns how many runs it did."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    export = _command(inner, "export", "copy runs into another archive", _EXPORT)
    export.add_argument("source", help="URI to copy from")
    export.add_argument("target", help="URI to copy to")
    _configure(export, run_export, has_query=True)
    importing = _command(inner, "import", "make an existing archive searchable", _IMPORT)
    importing.add_argument("source", metavar="uri", help="URI of the archive")
    _configure(importing, run_import, has_query=False)
    verify = _command(inner, "verify", "read everything and compare", _VERIFY)
    verify.add_argument("source", metavar="uri", help="URI of the archive")
    _configure(verify, run_verify, has_query=True)
    delete = _command(inner, "delete", "remove runs for good", _DELETE)
    delete.add_argument("source", metavar="uri", help="URI of the archive")
    delete.add_argument("--yes", action="store_true", help="yes, for good")
    _configure(delete, run_delete, has_query=True)
    backlog = _command(inner, "backlog", archive_backlog.SUMMARY, archive_backlog.EPILOG)
    archive_backlog.configure(backlog)


def run_export(options: argparse.Namespace) -> int:
    """Copy; return the exit code."""
    from archival.transfer import copy  # noqa: PLC0415  # help need not wait for it

    source, target = _opened(options, options.source), _opened(options, options.target)
    wanted = _wanted(options)

    def work(namespace_id: str, token: bytes, report: Report) -> int:
        return copy(source, target, namespace_id, report, wanted=wanted, token=token)

    return _each(options, source, work)


def run_import(options: argparse.Namespace) -> int:
    """Index; return the exit code."""
    from archival.transfer import index  # noqa: PLC0415  # help need not wait for it

    source = _opened(options, options.source)
    types = _types(options)

    def work(namespace_id: str, token: bytes, report: Report) -> int:
        return index(source, namespace_id, report, types=types, token=token)

    return _each(options, source, work)


def run_verify(options: argparse.Namespace) -> int:
    """Verify; return the exit code."""
    from archival.transfer import verify  # noqa: PLC0415  # help need not wait for it

    source = _opened(options, options.source)
    wanted = _wanted(options)

    def work(namespace_id: str, token: bytes, report: Report) -> int:
        return verify(source, namespace_id, report, wanted=wanted, token=token)

    return _each(options, source, work)


def run_delete(options: argparse.Namespace) -> int:
    """Remove; return the exit code."""
    from archival.transfer import remove  # noqa: PLC0415  # help need not wait for it

    if not options.yes:
        raise StartFailure("What is deleted from an archive is gone for good: say --yes.")
    source = _opened(options, options.source)
    wanted = _wanted(options)

    def work(namespace_id: str, token: bytes, report: Report) -> int:
        return remove(source, namespace_id, report, wanted=wanted, token=token)

    return _each(options, source, work)


class Shown:
    """Progress on stderr, one line that is written over; troubles on stdout as they come."""

    def __init__(self, namespace_id: str) -> None:
        self.namespace_id = namespace_id
        self._began = time.monotonic()
        self._last = 0.0
        self.token = b""
        self.troubles_count = 0

    def __call__(self, progress: "Progress") -> None:
        """Show how far it is."""
        for trouble in progress.troubles:
            self.troubles_count += 1
            key = trouble.key
            sys.stdout.write(f"{key.workflow_id} {key.run_id}: {trouble.reason}\n")
        if progress.token:
            self.token = progress.token
        now = time.monotonic()
        is_time = not progress.token or now - self._last > _SECONDS
        if is_time:
            self._last = now
            rate = progress.done_count / max(now - self._began, 1e-9)
            end = "\r" if progress.token and sys.stderr.isatty() else "\n"
            sys.stderr.write(
                f"{self.namespace_id}: {progress.done_count:,} runs, {rate:,.0f} a second, "
                f"{self.troubles_count:,} in trouble{end}"
            )


def _each(options: argparse.Namespace, archive: "Archive", work: Work) -> int:
    """Do the work for each namespace asked for; return the exit code."""
    from archival.inventory import namespace_ids  # noqa: PLC0415  # help need not wait for it
    from schemas.errors import ServiceError  # noqa: PLC0415  # help need not wait for it

    troubles = runs = 0
    token = _token(options.token)
    shown = Shown("")
    try:
        for namespace_id in options.namespace_id or namespace_ids(archive):
            shown = Shown(namespace_id)
            runs += work(namespace_id, token, shown)
            troubles += shown.troubles_count
            token = b""
    except KeyboardInterrupt:
        sys.stderr.write(f"\nInterrupted. {_go_on(shown)}\n")
        return FAILED
    except ServiceError as error:
        raise NodeFailure(f"{error.message}. {_go_on(shown)}") from error
    sys.stdout.write(f"{runs:,} runs, {troubles:,} in trouble.\n")
    return FAILED if troubles else 0


def _go_on(shown: Shown) -> str:
    if not shown.token:
        return "Nothing is lost: run it again."
    token = base64.urlsafe_b64encode(shown.token).decode()
    return f"Go on with: --namespace-id {shown.namespace_id} --token {token}"


def _token(text: str) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise StartFailure(f"--token is not one that was printed: {text!r}.") from error


def _opened(options: argparse.Namespace, uri: str) -> "Archive":
    from archival.opening import open_archive  # noqa: PLC0415  # help need not wait for it
    from schemas.errors import InvalidArgument  # noqa: PLC0415  # help need not wait for it

    flags: dict[str, object] = {}
    for one in options.set:
        path, _, value = one.partition("=")
        flags[path] = value
    loaded = load(file=options.config, environment=os.environ, flags=flags)
    try:
        archive = open_archive(uri, loaded.settings.archival)
        archive.check()
    except InvalidArgument as error:
        raise StartFailure(f"There is no archive at {uri}: {error.message}.") from error
    return archive


def _wanted(options: argparse.Namespace) -> "Filter | None":
    """Return the runs that are asked for; None: all."""
    if not options.query:
        return None
    from schemas.errors import InvalidArgument  # noqa: PLC0415  # help need not wait for it
    from search.query.resolve import Names, list_query  # noqa: PLC0415  # help need not wait for it
    from streams.archival.filters import Wanted  # noqa: PLC0415  # help need not wait for it

    names = Names(_types(options), allows_order_by=False)
    try:
        return Wanted(list_query(options.query, names))
    except InvalidArgument as error:
        raise StartFailure(f"--query: {error.message}.") from error


def _types(options: argparse.Namespace) -> dict[str, int]:
    from search.attributes import BY_LABEL  # noqa: PLC0415  # help need not wait for it

    types = {}
    for one in options.search_attribute:
        name, _, label = one.partition("=")
        if label not in BY_LABEL:
            raise StartFailure(f"--search-attribute is NAME=TYPE, found {one!r}.")
        types[name] = int(BY_LABEL[label])
    return types


def _configure(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], *, has_query: bool
) -> None:
    parser.set_defaults(run=run)
    parser.add_argument(
        "--namespace-id", action="append", metavar="ID", help="only this namespace; may be repeated"
    )
    if has_query:
        parser.add_argument("--query", default="", help="only runs that this List Filter finds")
    parser.add_argument(
        "--search-attribute",
        action="append",
        default=[],
        metavar="NAME=TYPE",
        help="the type of a custom search attribute",
    )
    parser.add_argument("--token", default="", help="go on where an interrupted run said")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings")
    parser.add_argument(
        "--set", action="append", metavar="PATH=VALUE", default=[], help="one setting by its path"
    )


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
