"""Where a library may be imported: each in the rooms that need it, and nowhere else."""

import ast
from fnmatch import fnmatch

import pytest

from tests.house.sources import Source, code

# The demo is a client: it uses what its readers use.
ROOMS = {
    "faust": ("streams/app.py", "streams/assignor.py", "streams/faust_batches.py"),
    "mode": ("streams/app.py", "streams/faust_batches.py"),
    "aiokafka": ("streams/faust_batches.py",),
    "confluent_kafka": ("streams/kafka/*.py", "infra/demo/*.py"),
    "rocksdict": ("streams/tables.py",),
    "grpc": ("streams/frontend/*transport*.py",),
    "h2": ("streams/frontend/http2/*.py",),
    "hpack": ("streams/frontend/http2/session.py",),
    "hyperframe": ("streams/frontend/http2/session.py",),
    "grpc_health": ("schemas/temporal.py", "streams/frontend/*.py"),
    "grpc_reflection": ("schemas/temporal.py", "streams/frontend/*.py"),
    "temporalio": ("schemas/temporal.py", "infra/demo/*.py"),
    "fastavro": ("schemas/codec.py", "infra/demo/*.py"),
    "avro": (),
    "elasticsearch": ("search/elastic.py",),
    "boto3": ("archival/s3.py",),
    "botocore": ("archival/s3.py",),
    "pyarrow": ("archival/parquet.py",),
    "structlog": ("streams/*", "infra/log.py", "infra/*.py"),
    "prometheus_client": ("*/metrics.py", "infra/exposition.py"),
    "argparse": ("infra/cli/*.py", "infra/demo/*.py", "infra/broker/__main__.py"),
    "sqlite3": ("infra/broker/*.py", "search/sqlite.py"),
}

IMPURE = {
    "asyncio",
    "concurrent",
    "ctypes",
    "datetime",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
}
"""What the core never imports: time, ids and seeds arrive as arguments."""

ALLOWED = {"topology/workflow/cron.py": {"datetime"}}
"""Calendars need dates; the instants they are counted from are arguments all the same."""

IMPURE_CALLS = {"open", "print", "input", "uuid1", "uuid4", "now", "utcnow", "today", "id", "hash"}
"""What the core never calls (`hash` of text differs from process to process)."""


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_imported_only_in_its_rooms(library: str) -> None:
    """A library that spreads cannot be replaced."""
    rooms = ROOMS[library]
    strays = [
        source.path
        for source in code()
        if library in _imported(source) and not any(fnmatch(source.path, room) for room in rooms)
    ]
    assert strays == []


def test_the_core_imports_no_clock_no_randomness_and_no_io() -> None:
    """`topology` is a function of its arguments: time, ids and seeds come from outside."""
    found = {
        source.path: impure
        for source in code()
        if source.path.startswith("topology/")
        and (impure := _imported(source) & IMPURE - ALLOWED.get(source.path, set()))
    }
    assert found == {}


def test_the_core_calls_no_clock_no_randomness_and_no_io() -> None:
    """Neither through a builtin nor through a method that reads one."""
    found = [
        f"{source.path}:{node.lineno} {name}"
        for source in code()
        if source.path.startswith("topology/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and (name := _called(node)) in IMPURE_CALLS
    ]
    assert found == []


def test_schemas_read_no_clock() -> None:
    """Words and bytes know no time of their own."""
    found = {
        source.path: impure
        for source in code()
        if source.path.startswith("schemas/")
        and (impure := _imported(source) & (IMPURE - {"io", "datetime"}))
    }
    assert found == {}


def _imported(source: Source) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("now", "uuid4", "utcnow"):
        return node.func.attr
    return ""
