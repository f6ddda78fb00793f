"""The other end of the transport: one question to a server's gRPC port, for our own commands."""

import grpc

from schemas.errors import Unavailable


class Refused(Exception):
    """The server answered with an error; the message is for people."""


def ask(address: str, path: str, request: bytes = b"", *, timeout_s: float) -> bytes:
    """Return the answer to a request; raises Refused, and Unavailable where nobody answers."""
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(path)
        try:
            answer: bytes = call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise Unavailable(f"expected a server at {address}: {error.details()}") from error
            raise Refused(str(error.details())) from error
        return answer
