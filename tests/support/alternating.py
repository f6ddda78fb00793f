"""An SDK client whose requests go to several servers in turn; its workers stay at the first."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import cycle
from typing import Any

from google.protobuf.message import Message
from temporalio.client import Client
from temporalio.service import ConnectConfig, ServiceClient


class Alternating(ServiceClient):
    """One service client over those of several servers."""

    def __init__(self, clients: Sequence[Any]) -> None:
        super().__init__(clients[0].config)
        self._first = clients[0]
        self._turns = cycle(clients)

    @property
    def worker_service_client(self) -> Any:
        """Where workers poll."""
        return self._first

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        """Not used in tests."""
        raise NotImplementedError

    def update_api_key(self, api_key: str | None) -> None:
        """Not used in tests."""
        raise NotImplementedError

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: Any,
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,  # noqa: ASYNC109  the SDK's signature
    ) -> Any:
        return await next(self._turns)._rpc_call(
            rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
        )


async def alternating(*addresses: str) -> Client:
    """Return a client of several servers."""
    clients = [await ServiceClient.connect(ConnectConfig(target_host=each)) for each in addresses]
    return Client(Alternating(clients))
