"""The header block that ends a call which was refused."""

import base64

from schemas.errors import ServiceError
from streams.frontend.http2 import wire
from streams.frontend.http2.messages import ENCODINGS

_MARGIN_BYTES = 512
"""What the fixed headers count for, with the 32 bytes that HTTP/2 adds to each."""


def refusal(error: ServiceError | None, *, limit_bytes: int, has_begun: bool = False) -> bytes:
    """Return the only block of a call that says no message; None: it went well nevertheless.

    A client that takes no such list is told less: first without details, then with the beginning of
    the message. `has_begun`: headers were said before, so that these are trailers.
    """
    headers = [] if has_begun else [wire.CONTENT_TYPE]
    headers.append((b"grpc-status", b"0" if error is None else b"%d" % int(error.code)))
    if error is not None:
        left = limit_bytes - _MARGIN_BYTES
        message = wire.percent_encoded(error.message)
        details = b"" if error.detail is None else base64.b64encode(error.status()).rstrip(b"=")
        headers.append((b"grpc-message", _shortened(message, left)))
        headers.append((b"grpc-accept-encoding", ENCODINGS))
        if details and len(message) + len(details) <= left:
            headers.append((b"grpc-status-details-bin", details))
    return wire.block(headers, with_status=not has_begun)


def _shortened(message: bytes, limit_bytes: int) -> bytes:
    """Return the beginning of an encoded message, without half of an escape."""
    cut = message[: max(0, limit_bytes)]
    return cut[: cut.rindex(b"%")] if b"%" in cut[-2:] and len(cut) < len(message) else cut
