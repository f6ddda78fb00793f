"""Stands before a real Elasticsearch and does what networks and busy clusters do.

Bulks are answered by the next of `answers` while there are some: a status, 0 (the connection is
reset) or -1 (the cluster does it, and then the connection is reset). While `is_down` every
connection is closed; `latency_s` goes before every answer.
"""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faults(ThreadingHTTPServer):
    """The stand-in; `url` is where stores find it."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Between)
        self.cluster = url
        self.answers: list[int] = []
        self.is_down = False
        self.latency_s = 0.0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class _Between(BaseHTTPRequestHandler):
    """Passes a request on, or answers it with the next fault."""

    protocol_version = "HTTP/1.1"
    server: Faults

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.latency_s)
        fault = None
        if self.server.is_down:
            fault = 0
        elif "_bulk" in self.path and self.server.answers:
            fault = self.server.answers.pop(0)
        if fault is not None and fault > 0:
            self._answer(fault, b'{"error": {"type": "busy"}, "status": 1}')
        elif fault == 0:
            self.close_connection = True
        else:
            self._pass_on(body, is_reset=fault is not None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - their names there

    def _pass_on(self, body: bytes, *, is_reset: bool) -> None:
        request = urllib.request.Request(
            self.server.cluster + self.path, body or None, method=self.command
        )
        for name in ("Content-Type", "Accept"):
            if name in self.headers:
                request.add_header(name, self.headers[name])
        try:
            with urllib.request.urlopen(request) as answer:
                status, said = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        if is_reset:
            self.close_connection = True
        else:
            self._answer(status, said)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@contextmanager
def standing_before(url: str) -> Iterator[Faults]:
    """Yield a stand-in before the cluster at a URL."""
    server = Faults(url)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
