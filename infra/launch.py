"""From settings to a running process and back: folder, broker child, node, signals.

The broker starts before the node's modules are imported, so that both cost the same second. What a
node is made of is `infra/process.py`'s business.
"""

import asyncio
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

from infra import log
from infra.banner import banner
from infra.broker_child import BrokerChild
from infra.failures import NodeFailure, StartFailure
from infra.folder import DataFolder
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.process import Node

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STOPPED_AT_ONCE: Final = 130
_FAILED_STOP_TIMEOUT_S: Final = 3.0


def launch(settings: Settings) -> int:
    """Run a node until it is told to stop; raises StartFailure, NodeFailure."""
    log.configure(settings.log)
    check_port_free(settings.node.ip, settings.node.port)
    path = settings.node.data_dir
    folder = DataFolder.temporary() if path is None else DataFolder(path, is_temporary=False)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        stack.callback(folder.close)
        folder.open()
        child = None if settings.kafka.address else _started_broker(settings, folder)
        if child is not None:
            stack.callback(child.stop)
        asyncio.run(_serve(settings, folder, child))
    return 0


def check_port_free(ip: str, port: int) -> None:
    """Raise StartFailure when the gRPC port cannot be had: before anything slow begins."""
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
            f"Cannot listen on {ip}:{port} ({reason}); choose another port with --port."
        ) from error


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Make a SIGTERM that comes before the loop runs what Ctrl-C is."""
    raise KeyboardInterrupt


def _started_broker(settings: Settings, folder: DataFolder) -> BrokerChild:
    folder.await_former_broker()
    child = BrokerChild(folder.broker, settings.broker)
    folder.note_broker(child.process_id)
    return child


async def _serve(settings: Settings, folder: DataFolder, child: BrokerChild | None) -> None:
    from infra.process import Node  # noqa: PLC0415  # the broker starts meanwhile

    end = End(folder, child)
    address = settings.kafka.address
    if child is not None:
        address = child.address()
        child.watch(end.fail)
    node = Node(settings, folder.path, address, on_failure=end.fail)
    try:
        if await _is_started(node, end, timeout_s=settings.node.start_timeout_s):
            sys.stdout.write(banner(settings, folder, node.address, kafka=address))
            sys.stdout.flush()
            await end.reached
    finally:
        timeout_s = _FAILED_STOP_TIMEOUT_S if end.is_failure else settings.node.stop_timeout_s
        with suppress(TimeoutError):
            await asyncio.wait_for(node.stop(), timeout_s)


async def _is_started(node: "Node", end: "End", *, timeout_s: float) -> bool:
    """Start the node; False: it was told to stop meanwhile. Raises what failed."""
    starting = asyncio.ensure_future(node.start())
    await asyncio.wait(
        {starting, end.reached}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
    )
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    if not end.reached.done():
        raise StartFailure(f"The node was not ready within {timeout_s:g} s.")
    end.reached.result()
    return False


class End:
    """Why the process ends: it was told to, or a part of it died."""

    def __init__(self, folder: DataFolder, child: BrokerChild | None) -> None:
        self._folder = folder
        self._child = child
        self._loop = asyncio.get_running_loop()
        self.reached: asyncio.Future[None] = self._loop.create_future()
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._told)

    @property
    def is_failure(self) -> bool:
        """Whether a part died."""
        return self.reached.done() and self.reached.exception() is not None

    def fail(self, sentence: str) -> None:
        """End with a failure; may be called in any thread."""
        self._loop.call_soon_threadsafe(self._fail, sentence)

    def _fail(self, sentence: str) -> None:
        if not self.reached.done():
            self.reached.set_exception(NodeFailure(sentence))

    def _told(self) -> None:
        """Take a signal: the first one ends in order, the second one at once."""
        if not self.reached.done():
            self.reached.set_result(None)
            return
        if self._child is not None:
            self._child.kill()
        self._folder.close()
        os._exit(_STOPPED_AT_ONCE)
