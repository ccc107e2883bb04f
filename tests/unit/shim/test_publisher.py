"""How a shim's events reach the daemon, and what is left of it when there are none."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as forward_pb2
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service, ServiceTable
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.shim import address
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.publisher import EventPublisher
from pycontainerd.shim.transport import Listener


class Daemon(Service):
    """Keeps the topics that it is told."""

    contract = forward_pb2.DESCRIPTOR.services_by_name["Events"]

    def __init__(self) -> None:
        self.topics: list[str] = []

    async def forward(self, request: Any, call: Call) -> Empty:
        self.topics.append(request.envelope.topic)
        return Empty()


def test_at_rest_there_is_no_connection_and_the_next_event_makes_one(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    loop = Loop(lambda name, error: errors.append(error))
    daemon = Daemon()
    connections: list[TtrpcServerConnection] = []

    def connected() -> TtrpcServerConnection:
        connections.append(TtrpcServerConnection(ServiceTable([daemon]), loop))
        return connections[-1]

    async def main() -> None:
        listening = address.listen(str(tmp_path / "daemon"))
        assert listening is not None
        listener = Listener(loop, listening, connected)
        publisher = EventPublisher(loop, Journal(-1, debug=False, fields={}), "ns", str(tmp_path / "daemon"))
        forwarding = loop.spawn(publisher.run(), name="events")
        for number in range(2):
            told = loop.waiter()
            topic = f"/tasks/{number}"
            publisher.publish(topic, events_pb2.TaskOOM(container_id="c"), delivered=partial(told.set, None))
            publisher.rest()  # does nothing: an event waits
            await told
            publisher.rest()
            while not connections[number].closed:
                await loop.sleep(0.001)
        assert daemon.topics == ["/tasks/0", "/tasks/1"]
        assert len(connections) == 2
        forwarding.cancel()
        await publisher.close()
        listener.close()

    before = len(os.listdir("/proc/self/fd"))
    loop.run(main())
    assert errors == []
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the loop's own
