"""The header block that ends a call which was refused."""

import base64

from schemas.errors import ServiceError
from streams.frontend.http2 import wire
from streams.frontend.http2.messages import ENCODINGS


def refusal(error: ServiceError | None, *, has_begun: bool = False) -> bytes:
    """Return the only block of a call that says no message; None: it went well nevertheless.

    `has_begun`: headers were said before, so that these are trailers.
    """
    code = 0 if error is None else int(error.code)
    headers = [] if has_begun else [wire.CONTENT_TYPE]
    headers.append((b"grpc-status", b"%d" % code))
    if error is not None:
        headers.append((b"grpc-message", wire.percent_encoded(error.message)))
        headers.append((b"grpc-accept-encoding", ENCODINGS))
        if error.detail is not None:
            packed = base64.b64encode(error.status()).rstrip(b"=")
            headers.append((b"grpc-status-details-bin", packed))
    return wire.block(headers, with_status=not has_begun)
