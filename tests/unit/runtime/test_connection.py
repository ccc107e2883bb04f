"""Connecting to shims by what they answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.errors import Unimplemented, Unknown
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.driver import Connection
from pycontainerd.rpc.grpc.server import GrpcConnection
from pycontainerd.rpc.service import Service, ServiceTable
from pycontainerd.rpc.sockets import listen_unix
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.connection import connect, socket_path
from pycontainerd.runtime.task_api import TaskApi


class TaskService(Service):
    """A shim that knows its pid."""

    contract = task_pb2.DESCRIPTOR.services_by_name["Task"]

    async def connect(self, request: task_pb2.ConnectRequest, call: Call) -> task_pb2.ConnectResponse:
        assert call.namespace == "ns"
        return task_pb2.ConnectResponse(shim_pid=7)


@pytest.mark.parametrize(
    ("bootstrap", "path"),
    [
        (Bootstrap(3, "unix:///run/x", "ttrpc"), "/run/x"),
        (Bootstrap(2, "/containerd-shim/x.sock", "ttrpc"), "\0/containerd-shim/x.sock"),
        (Bootstrap(3, "/run/x", "grpc"), "/run/x"),
        (Bootstrap(3, "unix:///run/x", "grpc"), "/run/x"),
    ],
)
def test_an_address_is_a_path_or_an_abstract_name(bootstrap: Bootstrap, path: str) -> None:
    assert socket_path(bootstrap) == path


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(Unimplemented, match="vsock://3:1024"):
        socket_path(Bootstrap(3, "vsock://3:1024", "ttrpc"))


def test_what_is_no_address_is_refused_in_the_words_of_stock() -> None:
    with pytest.raises(Unknown) as error:
        socket_path(Bootstrap(2, "what://x", "ttrpc"))
    assert error.value.message == "failed to create TTRPC connection: unsupported protocol: what"


@pytest.mark.parametrize("protocol", ["ttrpc", "grpc"])
def test_a_shim_answers_over_either_protocol_and_its_end_is_noticed(scratch: Path, protocol: str) -> None:
    async def story() -> None:
        driver, table = AsyncioDriver(), ServiceTable([TaskService()])

        def serving() -> Connection:
            return GrpcConnection(table, driver) if protocol == "grpc" else TtrpcServerConnection(table, driver)

        server = await driver.serve_unix(listen_unix(str(scratch / "s")), serving)
        bootstrap = Bootstrap(3, f"unix://{scratch}/s", protocol)
        connection = await connect(bootstrap)
        assert await TaskApi(connection, bootstrap, "ns").connect("c") == 7
        await server.close()
        async with asyncio.timeout(30):
            await connection.wait_closed()
        await connection.close()

    asyncio.run(story())


def test_a_shim_that_is_not_there_is_named(scratch: Path) -> None:
    with pytest.raises(Unknown) as error:
        asyncio.run(connect(Bootstrap(3, f"unix://{scratch}/none", "ttrpc")))
    assert error.value.message == (
        f"failed to create TTRPC connection: dial unix {scratch}/none: connect: no such file or directory"
    )
