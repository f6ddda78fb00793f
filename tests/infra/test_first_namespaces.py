"""The namespaces a node registers at its start."""

from typing import cast

import pytest

from infra.first_namespaces import register_missing
from schemas.errors import Code, NamespaceAlreadyExists, ServiceError, Unavailable
from streams.calls.outcomes import Answered
from streams.frontend.services import Services
from streams.frontend.transport import Call
from tests.streams.frontend.stubs import World


async def _registered(error: ServiceError | None) -> int:
    asked = 0

    async def register(services: Services, call: Call) -> bytes:
        nonlocal asked
        asked += 1
        del services, call
        if error is not None:
            raise error
        return b""

    services = cast("Services", World().services())
    await register_missing(
        {"RegisterNamespace": register}, services, ["new", "default"], retention_days=1
    )
    return asked


async def test_what_is_missing_is_registered() -> None:
    """And nothing else."""
    assert await _registered(None) == 1


@pytest.mark.parametrize(
    "error",
    [
        NamespaceAlreadyExists(),
        Answered(
            Code.ALREADY_EXISTS, "Namespace already exists.", NamespaceAlreadyExists().status()
        ),
    ],
)
async def test_another_node_may_be_first(error: ServiceError) -> None:
    """Nodes that start at once register the same names; the refusal may come from a third one."""
    assert await _registered(error) == 1


async def test_other_refusals_end_the_start() -> None:
    """Without its namespaces a node is not what was asked for."""
    with pytest.raises(Unavailable):
        await _registered(Unavailable("nobody answers"))
