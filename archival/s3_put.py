"""One signed PUT over a kept connection: a fifth of what the SDK takes for it.

An archived run is five small objects, and the SDK's work for a request would be most of what
archiving costs. This file does the plain case only and gives no meaning to trouble: whatever is
not a plain answer is left to the SDK, which asks again. The signature is AWS Signature Version 4.
"""

import base64
import datetime as dt
import hashlib
import hmac
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import pack
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

_SERVICE: Final = "s3"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_PORTS: Final = {"http": 80, "https": 443}
_IDLE_S: Final = 4.0
"""A connection that was idle for longer may be closed at the other end by now."""
_READ_BYTES: Final = 16_384
_HEAD_BYTES: Final = 65_536


class Credentials(NamedTuple):
    """What requests are signed with."""

    access_key: str
    secret_key: str
    token: str | None


class QuickPut:
    """PUT requests to the objects below one URL; used by any number of threads."""

    def __init__(self, url: str, region: str, credentials: Callable[[], Credentials]) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._path = parts.path
        self._address = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
        self._region = region
        self._credentials = credentials
        self._idle: deque[tuple[float, socket.socket]] = deque()
        self.context: ssl.SSLContext | None = None
        self.timeout_s = 60.0

    def put(self, key: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a body once and return the status, 0 if there was no answer."""
        path = self._path + quote(key, safe="/-_.~")
        signed = self._signed(path, body, headers)
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        head = f"PUT {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        connection: socket.socket | None = None
        try:
            connection = self._connection()
            connection.sendall(head.encode() + body)
            status, is_kept = _answer(connection)
        except (OSError, ValueError):
            status, is_kept = 0, False
        if connection is not None and is_kept:
            self._idle.append((time.monotonic(), connection))
        elif connection is not None:
            connection.close()
        return status

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop()[1].close()

    def _connection(self) -> socket.socket:
        """Return a connection that was used a moment ago, or a new one."""
        try:
            used_at, connection = self._idle.pop()
        except IndexError:
            return self._connected()
        if time.monotonic() - used_at < _IDLE_S:
            return connection
        connection.close()
        self.close()
        return self._connected()

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._address, self.timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)  # the kernel's own timeouts save a poll before each call
        limit = pack("@ll", int(self.timeout_s), 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, limit)
        if self.context is None:
            return connection
        return self.context.wrap_socket(connection, server_hostname=self._address[0])

    def _signed(self, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        digest = hashlib.sha256(body)
        credentials = self._credentials()
        named = {
            "host": self._host,
            "x-amz-checksum-sha256": base64.b64encode(digest.digest()).decode(),
            "x-amz-content-sha256": digest.hexdigest(),
            "x-amz-date": dt.datetime.now(tz=dt.UTC).strftime("%Y%m%dT%H%M%SZ"),
            **headers,
        }
        if credentials.token:
            named["x-amz-security-token"] = credentials.token
        named["authorization"] = authorization("PUT", path, named, (credentials, self._region))
        return named


def _answer(connection: socket.socket) -> tuple[int, bool]:
    """Read an answer to its end; return its status, and whether the connection may be kept."""
    read = b""
    while (end := read.find(b"\r\n\r\n")) < 0:
        piece = connection.recv(_READ_BYTES)
        if not piece or len(read) > _HEAD_BYTES:
            return 0, False
        read += piece
    first, *lines = read[:end].decode("latin-1").lower().split("\r\n")
    version, status = first.split(" ")[:2]
    fields = {name: value.strip() for name, _, value in (one.partition(":") for one in lines)}
    left = int(fields.get("content-length", -1)) - (len(read) - end - 4)
    is_kept = version == "http/1.1" and fields.get("connection") != "close" and left >= 0
    while is_kept and left > 0:
        piece = connection.recv(_READ_BYTES)
        left -= len(piece)
        is_kept = bool(piece)
    return int(status), is_kept and left == 0


def authorization(
    method: str, path: str, headers: Mapping[str, str], by: tuple[Credentials, str]
) -> str:
    """Return the header that signs a request without a query; all of its headers are signed."""
    credentials, region = by
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    signed = ";".join(names)
    digest = headers["x-amz-content-sha256"]
    request = f"{method}\n{path}\n\n{lines}\n{signed}\n{digest}"
    at = headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/{_SERVICE}/aws4_request"
    text = f"{_ALGORITHM}\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, at[:8], region), text.encode(), "sha256")
    access = f"{_ALGORITHM} Credential={credentials.access_key}/{scope}"
    return f"{access}, SignedHeaders={signed}, Signature={signature.hex()}"


@lru_cache(maxsize=16)
def _key(secret: str, day: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day, region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
