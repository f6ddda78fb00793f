"""Whether a namespace can archive where a request says: asked of the store before it is decided."""

from schemas.temporal import enums, namespace, service
from streams.frontend.services import Services

_ENABLED = enums.ArchivalState.ARCHIVAL_STATE_ENABLED

ArchivalRequest = service.RegisterNamespaceRequest | namespace.NamespaceConfig


async def check_uris(services: Services, request: ArchivalRequest) -> None:
    """Refuse a namespace whose runs could not be archived where it says, or where all do (2.3)."""
    archives = services.archives
    if archives is None:
        return
    asked = (
        (request.history_archival_state, request.history_archival_uri, archives.history_uri),
        (
            request.visibility_archival_state,
            request.visibility_archival_uri,
            archives.visibility_uri,
        ),
    )
    for uri in {given or (default if state == _ENABLED else "") for state, given, default in asked}:
        if uri:
            await archives.check(uri)
