"""Errors that only the frontend gives, with the texts clients match on.

The families of errors live in `schemas/errors.py`.
"""

from schemas.errors import Code, ServiceError


class MessageTooLarge(ServiceError):
    """The request is over the size limit; SDKs know it by how its text begins."""

    code = Code.RESOURCE_EXHAUSTED


def too_large(size_bytes: int, limit_bytes: int) -> MessageTooLarge:
    """Return the refusal of a message of this size on the wire."""
    return MessageTooLarge(
        f"grpc: received message larger than max ({size_bytes} vs. {limit_bytes})"
    )


def too_large_decompressed(limit_bytes: int) -> MessageTooLarge:
    """Return the refusal of a message that is too large only once decompressed."""
    return MessageTooLarge(
        f"grpc: received message after decompression larger than max {limit_bytes}"
    )
