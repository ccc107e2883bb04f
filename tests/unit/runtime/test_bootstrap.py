"""What daemon and shim tell each other at the start."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.errors import Error, Unimplemented, Unknown
from pycontainerd.runtime.bootstrap import Bootstrap, Params, encoded, parse_answer, parse_file
from pycontainerd.runtime.model import Payload

ADDRESS = "unix:///run/containerd/s/abc"


def protobuf(version: int = 3, address: str = ADDRESS, protocol: str = "ttrpc") -> bytes:
    return bootstrap_pb2.BootstrapResult(version=version, address=address, protocol=protocol).SerializeToString()


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        (protobuf(), Bootstrap(3, ADDRESS, "ttrpc")),
        (protobuf(2, ADDRESS, "grpc"), Bootstrap(2, ADDRESS, "grpc")),
        (b'{"version":3,"address":"unix:///x","protocol":"grpc"}', Bootstrap(3, "unix:///x", "grpc")),
        (b'{"version":2,"address":"unix:///x","protocol":"ttrpc"}\n', Bootstrap(2, "unix:///x", "ttrpc")),
        (ADDRESS.encode(), Bootstrap(2, ADDRESS, "ttrpc")),
        (b"/containerd-shim/ns/id/shim.sock\n", Bootstrap(2, "/containerd-shim/ns/id/shim.sock", "ttrpc")),
        (b'{"version":1,"address":"x"}', Bootstrap(2, '{"version":1,"address":"x"}', "ttrpc")),
    ],
)
def test_an_answer_in_each_of_its_forms_is_understood(answer: bytes, meant: Bootstrap) -> None:
    assert parse_answer(answer) == meant


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (protobuf(version=4), Unimplemented, "unsupported shim version"),
        (b'{"version":4,"address":"x","protocol":"ttrpc"}', Unimplemented, "unsupported shim version"),
        (protobuf(protocol="pigeon"), Unknown, 'unexpected protocol: "pigeon"'),
        (b"", Unknown, 'unexpected protocol: ""'),
    ],
)
def test_an_answer_that_we_can_not_serve_is_refused(answer: bytes, kind: type[Error], text: str) -> None:
    with pytest.raises(kind, match=text):
        parse_answer(answer)


def test_what_the_bundle_keeps_is_what_stock_keeps() -> None:
    kept = Bootstrap(3, ADDRESS, "ttrpc").to_json()
    assert kept == b'{"version":3,"address":"unix:///run/containerd/s/abc","protocol":"ttrpc"}'
    assert parse_file(kept) == Bootstrap(3, ADDRESS, "ttrpc")


def test_an_address_file_of_an_old_shim_is_understood() -> None:
    assert parse_file(b"unix:///x") == Bootstrap(2, "unix:///x", "ttrpc")


def params(options: Payload | None, *, debug: bool = False) -> bootstrap_pb2.BootstrapParams:
    given = Params(
        id="c",
        namespace="ns",
        address="/a",
        ttrpc_address="/a.ttrpc",
        binary="/bin/containerd",
        version="1",
        debug=debug,
        socket_dir="/s",
        options=options,
    )
    return bootstrap_pb2.BootstrapParams.FromString(given.encode())


def test_a_shim_is_told_all_that_it_needs() -> None:
    told = params(Payload("containerd.runc.v1.Options", b"\x0a\x00"), debug=True)
    assert (told.instance_id, told.namespace, told.socket_dir) == ("c", "ns", "/s")
    assert told.log_level == bootstrap_pb2.LOG_LEVEL_DEBUG
    assert told.extensions[0].value == AnyMessage(type_url="containerd.runc.v1.Options", value=b"\x0a\x00")


def test_a_shim_without_options_is_told_none() -> None:
    assert not params(None).extensions
    assert encoded(None) == b""
