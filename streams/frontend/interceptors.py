"""Around every call: is the door open, how did it end, how long did it take.

A bug in a function is logged with its traceback and answered INTERNAL; it never ends the server.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from schemas.errors import Code, Internal, ServiceError, Unavailable, Unimplemented
from streams.frontend.rpcs import Function
from streams.frontend.services import Services
from streams.frontend.transport import Call
from streams.frontend.unsupported import refusal_of
from streams.metrics import Count, Histogram, Metrics

_log = structlog.get_logger()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 75.0)
NOT_READY = "Frontend is not healthy yet"


class Door:
    """Whether calls are let in, and how many are inside."""

    def __init__(self) -> None:
        self.refusal = NOT_READY
        self.inside = 0
        self._emptied: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Let calls in."""
        self.refusal = ""

    def leave(self) -> None:
        """Count a call out."""
        self.inside -= 1
        if not self.inside and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def emptied(self, *, timeout_s: float) -> bool:
        """Wait until no call is inside; False: the time was up first."""
        if not self.inside:
            return True
        self._emptied = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._emptied], timeout=timeout_s)
        return not self.inside


class Calls:
    """How the calls of one RPC went."""

    def __init__(self, metrics: Metrics, method: str) -> None:
        self._metrics = metrics
        self._method = method
        self._by_code: dict[Code, Count] = {}
        self.answered = self.ended(Code.OK)
        self.seconds: Histogram = metrics.histogram(
            "millrace_streams_call_seconds",
            "Time from a call's arrival to its answer.",
            bounds=_SECONDS,
            labels={"method": method},
        )

    def ended(self, code: Code) -> Count:
        """Return the count of calls that ended with a code."""
        if code not in self._by_code:
            self._by_code[code] = self._metrics.count(
                "millrace_streams_calls_total",
                "Calls that ended, by RPC and gRPC code.",
                labels={"method": self._method, "code": code.name},
            )
        return self._by_code[code]


def guarded(
    name: str, function: Function, services: Services, *, door: Door, metrics: Metrics
) -> Callable[[Call], Awaitable[bytes]]:
    """Return the handler of one RPC."""
    calls = Calls(metrics, name)
    monotonic = services.clock.monotonic

    async def handler(call: Call) -> bytes:
        if door.refusal:
            calls.ended(Code.UNAVAILABLE).value += 1
            raise Unavailable(door.refusal)
        door.inside += 1
        began_at = monotonic()
        try:
            answer = await function(services, call)
        except ServiceError as error:
            calls.ended(error.code).value += 1
            raise
        except asyncio.CancelledError:
            calls.ended(Code.CANCELLED).value += 1
            raise
        except Exception as error:  # noqa: BLE001, RUF100  owns an RPC; a bug costs its call only
            calls.ended(Code.INTERNAL).value += 1
            _log.exception("call_failed", method=name)
            raise Internal(f"{name} failed: {type(error).__name__}") from error
        else:
            calls.answered.value += 1
            return answer
        finally:
            door.leave()
            calls.seconds.observe(monotonic() - began_at)

    return handler


def unserved(name: str) -> Callable[[Call], Awaitable[bytes]]:
    """Return the handler of an RPC that is not served."""
    message = refusal_of(name)

    async def handler(call: Call) -> bytes:  # noqa: ARG001  whatever was asked
        raise Unimplemented(message)

    return handler
