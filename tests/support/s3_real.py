"""Start a real S3 protocol server: moto's, as a process of its own.

When `MILLRACE_TEST_S3` holds a URL, that service is used instead (credentials from the usual
environment variables); it must let buckets be made. A proxy in front (`FaultyS3`) breaks what it is
told to break, since no server does so on request.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from struct import pack
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import boto3
import pytest

from tests.support.ports import free_ports

ADDRESS_VARIABLE = "MILLRACE_TEST_S3"
START_TIMEOUT = 60.0
REGION = "us-east-1"

_SERVE = """
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.protocol_version = "HTTP/1.1"  # connections are kept, as S3 keeps them
from moto.server import main
main()
"""
_SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>later</Message></Error>'
_HOP = {"connection", "transfer-encoding", "keep-alive", "expect", "date", "server"}


class S3DidNotStartError(RuntimeError):
    """The server did not come up."""


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Yield the URL of a service, with credentials in the environment."""
    if given := os.environ.get(ADDRESS_VARIABLE):
        yield given
        return
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile() as output:
        patch.setenv("AWS_ACCESS_KEY_ID", "tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        port = free_ports(1)[0]
        line = [sys.executable, "-c", _SERVE, "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(line, stdout=output, stderr=output)
        try:
            _wait(port, process, output)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def make_bucket(url: str, bucket: str) -> None:
    """Make a bucket."""
    client = boto3.client("s3", endpoint_url=url, region_name=REGION)
    client.create_bucket(Bucket=bucket)
    client.close()


Fault = str
"""`slow_down`, `reset_before`, `reset_after`, `half_body`, or nothing."""
Plan = Callable[[str, str], Fault]
"""What to break, by method and path of a request."""


class FaultyS3:
    """A proxy in front of a service that breaks what its plan says."""

    def __init__(self, upstream: str) -> None:
        self.plan: Plan = lambda _method, _path: ""
        self.requests: list[tuple[str, str, Fault]] = []
        self._upstream = urlsplit(upstream).netloc
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self})
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def faults(self) -> list[Fault]:
        """Return what was broken so far."""
        return [fault for _, _, fault in self.requests if fault]

    def fault(self, method: str, path: str) -> Fault:
        """Decide about one request."""
        fault = self.plan(method, path)
        self.requests.append((method, path, fault))
        return fault

    def forward(self, method: str, path: str, body: bytes, headers: Any) -> tuple[int, Any, bytes]:
        """Ask the service."""
        connection = HTTPConnection(self._upstream, timeout=30)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in _HOP}
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    proxy: ClassVar[FaultyS3]

    def log_message(self, _format: str, *_args: object) -> None:
        """Say nothing."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.fault(self.command, self.path)
        if fault == "slow_down":
            self.send(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        if fault == "reset_before":
            self.reset()
            return
        status, headers, found = self.proxy.forward(self.command, self.path, body, self.headers)
        if fault == "reset_after":
            self.reset()
            return
        self.send(status, headers, found, is_half=fault == "half_body")

    def send(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, is_half: bool = False
    ) -> None:
        self.send_response_only(status)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in _HOP | {"content-length"}:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        self.send_header("Content-Length", lengths[0] if is_head and lengths else str(len(body)))
        self.end_headers()
        if is_half:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.reset()
        elif not is_head:
            self.wfile.write(body)

    def reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the library's names


def _wait(port: int, process: subprocess.Popen[bytes], output: Any) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        threading.Event().wait(0.05)
    output.seek(0)
    raise S3DidNotStartError(output.read().decode(errors="replace")[-2_000:])
