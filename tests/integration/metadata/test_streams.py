"""Streams and leases: the same cases against stock, which is right, and ours."""

from __future__ import annotations

import queue
import threading
from typing import Any, Final

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from pycontainerd.api.containerd.services.streaming import v1_pb2 as st
from tests.integration.metadata.house import House
from tests.integration.metadata.questions import LEASES

PATH: Final = "/containerd.services.streaming.v1.Streaming/Stream"
INIT: Final = st.StreamInit.DESCRIPTOR.full_name
NOBODY: Final = "sha256:" + "0" * 64


class Opened:
    """A stream as its client has it."""

    def __init__(self, house: House, name: str, lease: str = "") -> None:
        self._sent: queue.Queue[Any] = queue.Queue()
        self._channel = grpc.insecure_channel(f"unix:{house.daemon.address}")
        leased = (("containerd-lease", lease),) if lease else ()
        open_: Any = self._channel.stream_stream(PATH, AnyMessage.SerializeToString, AnyMessage.FromString)
        headers: Any = (("containerd-namespace", house.namespace), *leased)
        self._call = open_(iter(self._sent.get, None), metadata=headers)
        self._sent.put(AnyMessage(type_url=INIT, value=st.StreamInit(id=name).SerializeToString()))
        next(self._call)
        self.ended = threading.Event()
        self.code: Any = None
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        self.code = self._call.code()  # blocks until the call has ended
        self.ended.set()

    def close(self) -> None:
        self._sent.put(None)
        self._call.cancel()
        self._thread.join()
        self._channel.close()


@pytest.mark.parametrize("labels", [{}, {"containerd.io/gc.flat": "x"}])
def test_a_collection_ends_the_streams_of_a_lease_that_is_gone(labels: dict[str, str], house: House) -> None:
    house.lease("l", labels)
    house.image("i", NOBODY, {"containerd.io/gc.ref.stream.x": "named", "containerd.io/gc.ref.streamx": "missing"})
    names = {"free": "", "leased": "l", "missing": "no lease", "named": "no lease"}
    streams = {name: Opened(house, name, lease) for name, lease in names.items()}
    try:
        house.collect()
        assert streams["missing"].ended.wait(30)
        assert not any(streams[name].ended.is_set() for name in ("free", "leased", "named"))
        assert not house.ask(LEASES, "list_resources", ls.ListResourcesRequest(id="l"), lease="").resources
        house.ask(LEASES, "delete", ls.DeleteRequest(id="l", sync=True), lease="")
        assert streams["leased"].ended.wait(30)
        assert streams["leased"].code is grpc.StatusCode.OK
        assert not any(streams[name].ended.is_set() for name in ("free", "named"))
    finally:
        for stream in streams.values():
            stream.close()
