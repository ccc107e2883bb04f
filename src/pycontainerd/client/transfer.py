"""Transfer: images between registries, archives and the daemon's store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

from google.protobuf.message import Message

from pycontainerd.api.containerd.services.transfer import v1_pb2 as service_pb2
from pycontainerd.api.containerd.types import transfer_pb2
from pycontainerd.client.beside import Beside
from pycontainerd.client.session import Api
from pycontainerd.client.streams import new_id, opened, pack, receive_progress, send_bytes
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(service_pb2.DESCRIPTOR.services_by_name["Transfer"])

Tell = Callable[[transfer_pb2.Progress], None]
"""What is called with each step of a transfer."""


class Transfer(Api):
    """The transfer service."""

    __slots__ = ()

    async def import_archive(
        self,
        data: AsyncIterator[bytes],
        store: transfer_pb2.ImageStore,
        *,
        force_compress: bool = False,
        tell: Tell | None = None,
    ) -> None:
        """Imports an OCI or Docker archive, *data* its bytes, into the store as *store* says."""
        stream_id = new_id("import", self._session.namespace)
        source = transfer_pb2.ImageImportStream(stream=stream_id, force_compress=force_compress)
        async with opened(self._session, stream_id) as stream, Beside(self._session.driver) as helpers:
            helpers.start(send_bytes(stream, data), name="send archive")
            # Were the archive to break off, the daemon would wait for the rest of it for ever.
            await helpers.run(self.transfer(source, store, tell=tell))

    async def tag(self, source: str, *names: str) -> None:
        """Gives the target of the image *source* further names, whatever they named before. Raises NotFound."""
        for name in names:
            await self.transfer(transfer_pb2.ImageStore(name=source), transfer_pb2.ImageStore(name=name))

    async def transfer(self, source: Message, destination: Message, *, tell: Tell | None = None) -> None:
        """Transfers from *source* to *destination*; *tell* hears of the progress. Raises as the daemon
        answers.
        """
        request = service_pb2.TransferRequest(source=pack(source), destination=pack(destination))
        async with AsyncExitStack() as stack:
            if tell is not None:
                request.options.progress_stream = new_id("progress", self._session.namespace)
                stream = await stack.enter_async_context(opened(self._session, request.options.progress_stream))
                helpers = await stack.enter_async_context(Beside(self._session.driver))
                helpers.start(receive_progress(stream, tell), name="progress")
                await self._session.unary(_METHODS["transfer"], request)
                # The daemon ends the stream when it answers; what is still under way belongs to the picture.
                await helpers.ended()
            else:
                await self._session.unary(_METHODS["transfer"], request)
