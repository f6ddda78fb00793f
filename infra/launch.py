"""From settings to a running process and back: folder, broker child, node, signals.

The broker starts while the node's modules are imported, so that both cost the same second. What a
node is made of is `infra/process.py`'s business.
"""

import asyncio
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack, suppress
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from infra import log
from infra.banner import banner
from infra.broker.child import BrokerChild, StartFailedError
from infra.failures import FAILED, NodeFailure, StartFailure
from infra.folder import DataFolder
from infra.garbage import calm
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.process import Node

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STOPPED_AT_ONCE: Final = 130
_FAILED_STOP_TIMEOUT_S: Final = 3.0
_THREADS_TIMEOUT_S: Final = 1.0


def launch(settings: Settings) -> int:
    """Run a node until it is told to stop; raises StartFailure, NodeFailure."""
    log.configure(settings.log)
    allow_many_files()
    if "frontend" in settings.node.roles:
        check_port_free(settings.node.ip, settings.node.port)
    check_port_free(
        settings.node.internal_ip, settings.node.internal_port, option="--internal-port"
    )
    path = settings.node.data_dir
    folder = DataFolder.temporary() if path is None else DataFolder(path, is_temporary=False)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        stack.callback(folder.close)
        folder.open()
        folder.await_former_broker()
        asyncio.run(_serve(settings, folder))
    _leave_threads_behind()
    return 0


def _leave_threads_behind() -> None:
    """End at once where threads wait for a store that does not answer: all else has ended."""
    until = time.monotonic() + _THREADS_TIMEOUT_S
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)


def allow_many_files() -> None:
    """Use what the system allows: every connection is a file, and so is much of a store."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def check_port_free(ip: str, port: int, *, option: str = "--port") -> None:
    """Raise StartFailure when a port cannot be had: before anything slow begins."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartFailure(
            f"Cannot listen on {ip}:{port} ({reason}); choose another port with {option}."
        ) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Make a SIGTERM that comes before the loop runs what Ctrl-C is."""
    raise KeyboardInterrupt


async def _serve(settings: Settings, folder: DataFolder) -> None:
    end = End(folder)
    importing = asyncio.ensure_future(asyncio.to_thread(import_module, "infra.process"))
    async with AsyncExitStack() as stack:
        kafka = settings.kafka.address
        if not kafka:
            child = await end.or_result(_started_broker(settings, folder))
            if child is None:
                return
            stack.push_async_callback(child.stop)
            end.watch(child)
            kafka = child.address
        await importing
        from infra.process import Node  # noqa: PLC0415  # it was imported while the broker started

        node = Node(settings, folder.path, kafka, on_failure=end.fail)
        stack.push_async_callback(_stopped, node, end, timeout_s=settings.node.stop_timeout_s)
        address = await end.or_result(_started(node, settings.node.start_timeout_s))
        if address is not None:
            calm()
            internal = node.internal_address
            sys.stdout.write(banner(settings, folder, address, kafka=kafka, internal=internal))
            sys.stdout.flush()
            await end.reached


async def _started_broker(settings: Settings, folder: DataFolder) -> BrokerChild:
    wanted = settings.broker
    port = wanted.port or _if_free(folder.broker_port)
    try:
        child = await BrokerChild.start(
            folder.broker,
            *("--log-level", wanted.log_level),
            *("--durability", wanted.durability),
            *("--segment-bytes", str(wanted.segment_bytes)),
            "--no-auto-create-topics",
            port=port,
        )
    except (StartFailedError, TimeoutError) as error:
        raise StartFailure(f"The embedded broker did not start: {error}") from error
    folder.note_broker(child.pid, child.address)
    return child


def _if_free(port: int) -> int:
    """Return a port of this machine, or 0 where somebody else has it."""
    try:
        check_port_free("127.0.0.1", port)
    except StartFailure:
        return 0
    return port


async def _started(node: "Node", timeout_s: float) -> str:
    """Start the node; return the address it serves at."""
    try:
        async with asyncio.timeout(timeout_s):
            await node.start()
    except TimeoutError as error:
        raise StartFailure(f"The node was not ready within {timeout_s:g} s.") from error
    return node.address


async def _stopped(node: "Node", end: "End", *, timeout_s: float) -> None:
    """Stop the node in order; where a part of it died or hangs, leave the rest behind."""
    failure = end.failure
    if failure is not None:
        timeout_s = min(timeout_s, _FAILED_STOP_TIMEOUT_S)
    stopping = asyncio.ensure_future(node.stop())
    done, _ = await asyncio.wait({stopping}, timeout=timeout_s)
    log.hush_kafka_clients()
    if failure is not None:
        sys.stderr.write(f"{failure}\n")
        end.leave(FAILED)
    if not done:
        sys.stderr.write(f"The node did not stop within {timeout_s:g} s; it ends anyway.\n")
        end.leave(FAILED)
    stopping.result()


class End:
    """Why the process ends: it was told to, or a part of it died."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._child: BrokerChild | None = None
        self._loop = asyncio.get_running_loop()
        self.reached: asyncio.Future[None] = self._loop.create_future()
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._told)

    @property
    def failure(self) -> BaseException | None:
        """Which part died, if one did."""
        return self.reached.exception() if self.reached.done() else None

    async def or_result(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of some work; None when told to stop first. Raises what failed."""
        working = asyncio.ensure_future(work)
        either: set[asyncio.Future[Any]] = {working, self.reached}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
        self.reached.result()
        return None

    def fail(self, sentence: str) -> None:
        """End with a failure; may be called in any thread."""
        self._loop.call_soon_threadsafe(self._fail, sentence)

    def watch(self, child: BrokerChild) -> None:
        """End when the broker does; and take it along when ended at once."""
        self._child = child

        def on_death(died: asyncio.Future[int]) -> None:
            if not died.cancelled():
                self._fail(f"The embedded broker ended with exit code {died.result()}.")

        child.died.add_done_callback(on_death)

    def _fail(self, sentence: str) -> None:
        if not self.reached.done():
            self.reached.set_exception(NodeFailure(sentence))

    def _told(self) -> None:
        """Take a signal: the first one ends in order, the second one at once."""
        if not self.reached.done():
            self.reached.set_result(None)
        else:
            self.leave(_STOPPED_AT_ONCE)

    def leave(self, code: int) -> NoReturn:
        """End the process at once, whatever its threads do; the broker goes along."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, signal.SIGKILL)
        self._folder.close()
        os._exit(code)
