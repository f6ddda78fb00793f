"""gRPC server reflection: names, files and symbols of what is served, from the descriptor pool.

Versions v1 and v1alpha have the same messages, so both paths have the same handler.
"""

from collections.abc import AsyncIterator

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2 as reflection

from schemas.errors import Code
from streams.frontend.transport import Call, Stream, Table
from topology.validation import parse

_PATHS = tuple(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    for version in ("v1", "v1alpha")
)
NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


class Reflection:
    """The reflection service over the names of the services served."""

    def __init__(self, names: tuple[str, ...], pool: DescriptorPool | None = None) -> None:
        self._names = names
        self._pool = pool or Default()

    def methods(self) -> Table:
        """Return what a transport serves of it."""
        return {path: Stream(self._answers) for path in _PATHS}

    async def _answers(
        self,
        call: Call,  # noqa: ARG002  a stream's shape
        requests: AsyncIterator[bytes],
    ) -> AsyncIterator[bytes]:
        async for packed in requests:
            request = parse(reflection.ServerReflectionRequest, packed)
            yield self._answer(request).SerializeToString()

    def _answer(
        self, request: reflection.ServerReflectionRequest
    ) -> reflection.ServerReflectionResponse:
        response = reflection.ServerReflectionResponse(
            valid_host=request.host, original_request=request
        )
        try:
            self._fill(response, request)
        except KeyError as error:
            response.error_response.error_code = int(Code.NOT_FOUND)
            response.error_response.error_message = str(error)
        return response

    def _fill(
        self,
        response: reflection.ServerReflectionResponse,
        request: reflection.ServerReflectionRequest,
    ) -> None:
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            for name in self._names:
                response.list_services_response.service.add(name=name)
        elif asked == "file_by_filename":
            _add_files(response, self._pool.FindFileByName(request.file_by_filename))
        elif asked == "file_containing_symbol":
            file = self._pool.FindFileContainingSymbol(request.file_containing_symbol)
            _add_files(response, file)
        else:
            response.error_response.error_code = int(Code.UNIMPLEMENTED)
            response.error_response.error_message = (
                f"{asked} is not served: there are no extensions"
            )


def _add_files(response: reflection.ServerReflectionResponse, file: FileDescriptor) -> None:
    """Add a file and all that it imports, each once."""
    seen: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        each = waiting.pop()
        if each.name not in seen:
            seen[each.name] = each.serialized_pb
            waiting.extend(each.dependencies)
    response.file_descriptor_response.file_descriptor_proto.extend(seen.values())
