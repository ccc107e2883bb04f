"""What was tried for tasks, as this daemon and its shims have noted it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontainerd.api.pycontainerd.services.tasks import v1_pb2 as journals_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(journals_pb2.DESCRIPTOR.services_by_name["TaskJournals"])


class Journals(Api):
    """The journals of tasks; a daemon that is not ours answers Unimplemented."""

    __slots__ = ()

    async def explain(self, container_id: str) -> Sequence[journals_pb2.Journal]:
        """The journal of the task that there is, then that of the last which failed. Raises NotFound."""
        request = journals_pb2.ExplainRequest(container_id=container_id)
        reply: journals_pb2.ExplainResponse = await self._session.unary(_METHODS["explain"], request)
        return list(reply.journals)
