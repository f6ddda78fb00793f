"""`python -m infra.broker`: run the broker until its parent ends, SIGTERM or SIGINT.

One line on stdout when it listens: {"address": "127.0.0.1:PORT"}. What keeps it from starting is
one sentence on stderr and exit code 2.
"""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import sqlite3
import sys
from pathlib import Path

from infra.broker.broker import HOST, Broker
from infra.broker.errors import KafkaError
from infra.broker.files import Files
from infra.broker.server import Connection
from infra.broker.settings import Settings
from infra.broker.store import NewerFormatError, Store

_PR_SET_PDEATHSIG = 1


class StartError(Exception):
    """The broker cannot start; the message says why."""


def parsed(arguments: list[str]) -> Settings:
    """Return the settings that the flags say."""
    parser = argparse.ArgumentParser(prog="infra.broker", description="A single-node Kafka broker")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error")
    )
    parser.add_argument("--durability", default="os", choices=("os", "fsync"))
    parser.add_argument("--num-partitions", type=int, default=1)
    parser.add_argument("--segment-bytes", type=int, default=16 << 20)
    parser.add_argument("--max-message-bytes", type=int, default=1_048_588)
    parser.add_argument("--retention-ms", type=int, default=7 * 86_400_000)
    parser.add_argument("--upkeep-interval-ms", type=int, default=15_000)
    parser.add_argument("--no-auto-create-topics", action="store_true")
    parser.add_argument("--detached", action="store_true", help="outlive the parent process")
    flags = vars(parser.parse_args(arguments))
    is_detached, no_creation = flags.pop("detached"), flags.pop("no_auto_create_topics")
    return Settings(is_detached=is_detached, auto_create_topics=not no_creation, **flags)


def lock(folder: Path) -> int:
    """Create the data folder and lock it for this process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StartError(f"Cannot write to the data folder {folder}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StartError(f"The data folder {folder} is in use by another process.") from error
    return descriptor


def opened_store(settings: Settings) -> Store:
    """Open the metadata file."""
    path = settings.data_dir / "metadata.sqlite"
    try:
        return Store(path, is_flushed=settings.durability == "fsync")
    except NewerFormatError as error:
        raise StartError(
            f"The data folder {settings.data_dir} was written by a newer version: {error}."
        ) from error
    except (KafkaError, sqlite3.Error) as error:
        raise StartError(f"Cannot use the metadata file {path}: {error}.") from error


def started(settings: Settings) -> Broker:
    """Open everything that is on disk."""
    broker = Broker(settings, opened_store(settings), Files())
    try:
        broker.start()
    except OSError as error:
        raise StartError(f"Cannot open the logs in {settings.data_dir}: {error}.") from error
    return broker


async def listen(broker: Broker, connections: set[Connection]) -> asyncio.Server:
    """Open the port."""
    loop = asyncio.get_running_loop()
    port = broker.settings.port
    try:
        server = await loop.create_server(
            lambda: Connection(broker, connections), HOST, port, backlog=256
        )
    except OSError as error:
        raise StartError(
            f"Cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}."
        ) from error
    broker.port = server.sockets[0].getsockname()[1]
    return server


def follow_parent(stop: asyncio.Event) -> None:
    """End when the parent does: when stdin ends; where it cannot be watched, by a signal."""

    def on_readable() -> None:
        if not os.read(0, 4096):
            asyncio.get_running_loop().remove_reader(0)
            stop.set()

    try:
        asyncio.get_running_loop().add_reader(0, on_readable)
    except OSError:  # plain files and closed descriptors
        _ask_for_death_signal()


def _ask_for_death_signal() -> None:
    """Have the kernel end us with the thread that started us: a pipe tells of the process."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes  # noqa: PLC0415 - only a child without a pipe needs it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def run(settings: Settings) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = started(settings)
    connections: set[Connection] = set()
    server = await listen(broker, connections)
    sys.stdout.write(f'{{"address": "{HOST}:{broker.port}"}}\n')
    sys.stdout.flush()
    if not settings.is_detached:
        follow_parent(stop)
    await stop.wait()
    server.close()
    for connection in list(connections):
        connection.close("the broker stops")
    await broker.stop()


def main() -> int:
    """Run; return the exit code."""
    settings = parsed(sys.argv[1:])
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        lock(settings.data_dir)
        asyncio.run(run(settings))
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
