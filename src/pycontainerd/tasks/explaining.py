"""`pycontainerd.services.tasks.v1.TaskJournals`: what was tried for a task. Not an API of the original.

It comes with the plugin of the tasks, so that the list of plugins is the one that clients of the original know.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.pycontainerd.services.tasks import v1_pb2 as journals_pb2
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.shim.steps import Step
from pycontainerd.tasks.store import Tasks

NS = 1_000_000_000


class TaskJournalsService(Service):
    """Reads the journals of tasks; changes nothing."""

    contract = journals_pb2.DESCRIPTOR.services_by_name["TaskJournals"]

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def explain(self, request: journals_pb2.ExplainRequest, call: Call) -> journals_pb2.ExplainResponse:
        found = await self._tasks.journals(call.namespace, request.container_id)
        journals = [journals_pb2.Journal(gone=it.gone, steps=map(_step, it.steps)) for it in found]
        return journals_pb2.ExplainResponse(journals=journals)


def _step(step: Step) -> journals_pb2.Step:
    return journals_pb2.Step(
        at=Timestamp(seconds=step.at_ns // NS, nanos=step.at_ns % NS),
        took=None if step.took_ns is None else Duration(seconds=step.took_ns // NS, nanos=step.took_ns % NS),
        by=step.by,
        what=step.what,
        result=step.result,
        error=step.error,
    )
