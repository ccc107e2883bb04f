"""h2spec, the conformance suite of HTTP/2, over TCP against our servers under asyncio."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from pycontainerd.rpc.driver import Connection, Driver
from pycontainerd.rpc.grpc.endpoint import Endpoint
from pycontainerd.rpc.http2.compression import encode
from pycontainerd.rpc.http2.events import DataReceived, Event, HeadersReceived, StreamReset
from pycontainerd.rpc.http2.limits import Limits
from tests.harness.peers import stock
from tests.harness.rpc import serving

LIMITS: Final = Limits(max_frame=16_384, concurrent_streams=100)
"""h2spec cuts its oversized header frame to the smallest limit there may be, and opens as many streams as it may."""

OF_GRPC: Final = (
    *(f"generic/{section}" for section in ("1", "3", "4", "5")),
    "hpack",
    *(f"http2/{section}" for section in ("3", "4", "5.1.1", "5.3", "5.4", "5.5", "6.1", "6.2", "6.3", "6.4")),
    *(f"http2/{section}" for section in ("6.5.2", "6.7", "6.8", "6.10", "7", "8.1.2.2", "8.1.2.3", "8.2")),
)
"""What can be asked of a gRPC server, which answers h2spec's GET at once and without data. Not asked:
generic/2, 6.5.3, 6.9.1, 6.9.2, which wait for DATA; 5.1, 5.1.2, 8.1, 8.1.2.1 and 8.1.2.6,
which do something to a stream that has not been answered yet. All of that is asked of `Page`, the same core."""


class Page(Endpoint):
    """The least server of HTTP/2: our core, and a page for whoever asks."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver, client=False, limits=LIMITS)

    def handle(self, event: Event) -> None:
        if isinstance(event, HeadersReceived | DataReceived):
            if isinstance(event, DataReceived):
                self.core.consume(event.stream, event.size)
            if event.ended:
                head = encode(((b":status", b"200"), (b"content-type", b"text/plain")))
                self.core.send_headers(event.stream, head)
                self.core.send_data(event.stream, [b"Nobody is at home. " * 10], 190, end=True)
        elif not isinstance(event, StreamReset):
            self._connection_event(event)


def outcome(
    report: Path, factory: Callable[[Driver], Connection] | None, *sections: str
) -> tuple[int, set[str], set[str]]:
    """Runs h2spec, all of it or *sections*; how many cases there were, those that failed and those that it skipped."""
    with serving(factory=factory, limits=LIMITS) as server:
        done = subprocess.run(
            [stock("h2spec"), "-h", "127.0.0.1", "-p", str(server.port), "-o", "1", "-j", report, *sections],
            capture_output=True,
            text=True,
            check=False,
        )
    cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - h2spec wrote it
    failed = {case.attrib["classname"] for case in cases if case.find("failure") is not None}
    failed |= {case.attrib["classname"] for case in cases if case.find("error") is not None}
    skipped = {case.attrib["classname"] for case in cases if case.find("skipped") is not None}
    assert (done.returncode == 0) == (not failed), done.stdout
    return len(cases), failed, skipped


def test_the_core_passes_all_of_it(tmp_path: Path) -> None:
    count, failed, skipped = outcome(tmp_path / "report.xml", Page)
    assert (count, failed, skipped) == (145, set(), set())


def test_a_grpc_server_passes_what_can_be_asked_of_it(tmp_path: Path) -> None:
    count, failed, skipped = outcome(tmp_path / "report.xml", None, *OF_GRPC)
    assert (count, failed, skipped) == (104, set(), set())


@pytest.mark.parametrize(
    "start",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"PRI * HTTP/2.0\r\n\r\nXX"],
)
def test_who_speaks_no_http2_is_told_so_and_cut_off(start: bytes) -> None:
    import socket

    with serving() as server, socket.create_connection(("127.0.0.1", server.port), 10) as peer:
        peer.sendall(start)
        said = b""
        while data := peer.recv(4096):
            said += data
        assert b"not the preface of HTTP/2" in said
