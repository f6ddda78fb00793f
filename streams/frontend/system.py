"""GetSystemInfo and GetClusterInfo: what this server is and can; only what is true.

A capability becomes true in the commit that builds it.
"""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from schemas.temporal import service
from streams.frontend.services import Services
from streams.frontend.transport import Call
from topology.validation import parse

_API_VERSION = "1.31.2"
_CLIENTS = {
    "temporal-cli": "<2.0.0",
    "temporal-go": "<2.0.0",
    "temporal-java": "<2.0.0",
    "temporal-php": "<2.0.0",
    "temporal-server": "<2.0.0",
    "temporal-typescript": "<2.0.0",
    "temporal-ui": "<3.0.0",
}


@lru_cache(maxsize=1)
def server_version() -> str:
    """Return the version of Temporal's API that is followed, with our own as build metadata.

    Clients compare it with versions of Temporal's server (the web UI hides what an older one
    lacks), so it must begin with one; semantic versioning ignores what is behind the plus.
    """
    try:
        own = installed_version("millrace")
    except PackageNotFoundError:
        own = "0"
    return f"{_API_VERSION}+millrace.{own}"


async def system_info(services: Services, call: Call) -> bytes:  # noqa: ARG001  a constant
    """GetSystemInfo."""
    parse(service.GetSystemInfoRequest, call.request)
    response = service.GetSystemInfoResponse(server_version=server_version())
    capabilities = response.capabilities
    capabilities.signal_and_query_header = True
    capabilities.internal_error_differentiation = True
    capabilities.activity_failure_include_heartbeat = True
    capabilities.encoded_failure_attributes = True
    capabilities.sdk_metadata = True
    capabilities.eager_workflow_start = True
    capabilities.upsert_memo = True
    capabilities.count_group_by_execution_status = True
    capabilities.build_id_based_versioning = True  # workers give a stamp, not a checksum
    return response.SerializeToString()


async def cluster_info(services: Services, call: Call) -> bytes:
    """GetClusterInfo."""
    parse(service.GetClusterInfoRequest, call.request)
    response = service.GetClusterInfoResponse(
        supported_clients=_CLIENTS,
        server_version=server_version(),
        cluster_id=services.settings.cluster_id,
        cluster_name=services.settings.cluster_name,
        history_shard_count=services.history.partitions,
        persistence_store="kafka",
    )
    response.version_info.current.version = server_version()
    return response.SerializeToString()
