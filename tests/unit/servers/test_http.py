"""The little HTTP server of the debug and metrics endpoints."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pycontainerd.errors import InvalidArgument
from pycontainerd.measures import Metric, Sample
from pycontainerd.servers.exposition import CONTENT_TYPE, exposition
from pycontainerd.servers.http import Answer, HttpServer

ROUTES = {"/debug/vars": lambda: Answer("{}\n", "application/json")}


def served(path: Path, talk: Callable[[str], Awaitable[bytes]]) -> bytes:
    async def run() -> bytes:
        server = HttpServer(str(path / "d.sock"), ROUTES)
        await server.serve()
        try:
            return await talk(server.address)
        finally:
            await server.stop()

    return asyncio.run(run())


def say(data: bytes) -> Callable[[str], Awaitable[bytes]]:
    async def talk(address: str) -> bytes:
        reader, writer = await asyncio.open_unix_connection(address)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    return talk


def test_a_route_is_answered(scratch: Path) -> None:
    answer = served(scratch, say(b"GET /debug/vars?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/json" in head
    assert body == b"{}\n"


def test_a_connection_serves_one_request_after_another(scratch: Path) -> None:
    answer = served(scratch, say(b"GET /debug/vars HTTP/1.1\r\n\r\nGET /nope HTTP/1.1\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert answer.count(b"HTTP/1.1 404 Not Found") == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /debug/pprof/heap HTTP/1.0\r\n\r\n", b"404"),
        (b"POST /debug/vars HTTP/1.0\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /debug/vars HTTP/1.1\r\nX: " + b"x" * (17 << 10) + b"\r\n\r\n", b"431"),
    ],
)
def test_everything_else_is_refused(scratch: Path, request_: bytes, status: bytes) -> None:
    assert served(scratch, say(request_)).split(b" ")[1] == status


def test_half_a_request_is_nobodys(scratch: Path) -> None:
    assert served(scratch, say(b"GET /debug/vars HTTP/1.1\r\nHost")) == b""


def test_the_socket_has_its_mode_and_goes_with_the_server(scratch: Path) -> None:
    async def look(address: str) -> bytes:
        return oct(stat.S_IMODE(os.stat(address).st_mode)).encode()

    assert served(scratch, look) == b"0o660"
    assert os.listdir(scratch) == []


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:port", "host:70000"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgument, match=f"listen tcp: address {address}"):
        asyncio.run(HttpServer(address, {}).serve())


def test_metrics_are_written_as_prometheus_reads_them() -> None:
    metrics = [
        Metric(
            "b_total", "counter", "Of b.\n", (Sample(3, {"name": 'say "x"\n'}), Sample(0.5, {"le": "1"}, "_bucket"))
        ),
        Metric("a", "gauge", "Of a.", (Sample(1.0),)),
    ]
    answer = exposition(metrics)
    assert answer.content_type == CONTENT_TYPE
    assert answer.body == (
        "# HELP a Of a.\n# TYPE a gauge\na 1\n"
        "# HELP b_total Of b.\\n\n# TYPE b_total counter\n"
        'b_total{name="say \\"x\\"\\n"} 3\nb_total_bucket{le="1"} 0.5\n'
    )
