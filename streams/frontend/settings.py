"""What can be set about the frontend."""

from typing import Annotated, Literal

import msgspec

Described = msgspec.Meta


class FrontendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and names of the gRPC frontend."""

    transport: Annotated[
        Literal["http2", "grpcio"],
        Described(description="Who speaks gRPC: our layer over h2, or grpcio (slower)."),
    ] = "http2"
    max_message_bytes: Annotated[int, Described(description="Largest request taken, bytes.")] = (
        4 * 1024 * 1024
    )
    max_concurrent_streams: Annotated[
        int, Described(description="Calls open at once on one connection, count.")
    ] = 2_000
    max_pollers: Annotated[
        int,
        Described(description="Long polls open at once of one RPC in one namespace, count."),
    ] = 1_200
    min_ping_interval_s: Annotated[
        float, Described(description="Keepalive pings this far apart are welcome, seconds.")
    ] = 2.0
    keepalive_interval_s: Annotated[
        float, Described(description="Our own keepalive pings on idle connections, seconds.")
    ] = 60.0
    drain_timeout_s: Annotated[
        float, Described(description="Time for open calls to end at a planned stop, seconds.")
    ] = 10.0
    move_timeout_s: Annotated[
        float,
        Described(
            description="Time for calls to end at the new owners once the groups are left, seconds."
        ),
    ] = 5.0
    history_poll_s: Annotated[
        float, Described(description="How long a history long poll waits for news, seconds.")
    ] = 20.0
    task_poll_s: Annotated[
        float, Described(description="How long a task poll waits for a task, seconds.")
    ] = 60.0
    call_timeout_s: Annotated[
        float, Described(description="Deadline of calls that came without one, seconds.")
    ] = 30.0
    cluster_id: Annotated[str, Described(description="UUID of this cluster.")] = ""
    cluster_name: Annotated[str, Described(description="Name of this cluster.")] = "active"
