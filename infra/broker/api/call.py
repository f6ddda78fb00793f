"""What an API function knows about its call, and the shapes it may answer in."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from infra.broker.broker import Broker
from infra.broker.schema import Api, Message


class Call(NamedTuple):
    """Who asks, and in which version."""

    version: int
    client_id: str


Answer: TypeAlias = Message | Awaitable[Message] | None
Function: TypeAlias = Callable[[Broker, Message, Call], Answer]


class Route(NamedTuple):
    """A table of messages and the function that serves it."""

    api: Api
    function: Function
