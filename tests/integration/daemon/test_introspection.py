"""What the daemon tells of itself, asked by foreign clients."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.introspection import v1_pb2 as introspection_pb2
from pycontainerd.api.containerd.services.version import v1_pb2 as version_pb2
from pycontainerd.api.grpc.health import v1_pb2 as health_pb2
from pycontainerd.version import revision, version
from tests.harness.daemon import OURS, STOCK, Daemon

PLUGINS = introspection_pb2.DESCRIPTOR.services_by_name["Introspection"]
VERSION = version_pb2.DESCRIPTOR.services_by_name["Version"]
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


@pytest.fixture(scope="module")
def daemons(session_base: Path) -> Iterator[dict[str, Daemon]]:
    """A daemon of each kind."""
    with (
        Daemon.start(OURS, session_base / "introspection-ours") as ours,
        Daemon.start(STOCK, session_base / "introspection-stock") as stock,
    ):
        yield {"ours": ours, "stock": stock}


def ask(daemon: Daemon, contract: Any, name: str, request: Message) -> Any:
    """One call, by grpcio; what goes wrong is returned as a pair of code and text."""
    method = contract.methods_by_name[name]
    with grpc.insecure_channel(f"unix://{daemon.address}") as channel:
        call = channel.unary_unary(
            f"/{contract.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=method.output_type._concrete_class.FromString,
        )
        try:
            return call(request, timeout=30)
        except grpc.RpcError as error:
            return error.code(), error.details()


def plugins(daemon: Daemon, *filters: str) -> Any:
    return ask(daemon, PLUGINS, "Plugins", introspection_pb2.PluginsRequest(filters=filters))


def info(daemon: Daemon, type_: str, id_: str, options: AnyMessage | None = None) -> Any:
    request = introspection_pb2.PluginInfoRequest(type=type_, id=id_, options=options)
    return ask(daemon, PLUGINS, "PluginInfo", request)


def test_plugins_are_listed_as_stock_lists_them(daemons: dict[str, Daemon]) -> None:
    listed = {
        name: [(it.type, it.id, list(it.requires)) for it in plugins(daemon).plugins]
        for name, daemon in daemons.items()
    }
    assert listed["ours"] == listed["stock"]


def test_what_is_built_exports_what_stock_exports(daemons: dict[str, Daemon]) -> None:
    ours, stock = ({f"{it.type}.{it.id}": it for it in plugins(daemons[name]).plugins} for name in ("ours", "stock"))
    for uri, plugin in ours.items():
        if not plugin.HasField("init_err") and not stock[uri].HasField("init_err"):
            assert set(plugin.exports) == set(stock[uri].exports), uri
            assert set(plugin.capabilities) == set(stock[uri].capabilities), uri
            assert list(plugin.platforms) == list(stock[uri].platforms), uri


def test_no_plugin_of_ours_failed(daemons: dict[str, Daemon]) -> None:
    failed = [
        (it.id, it.init_err.message)
        for it in plugins(daemons["ours"]).plugins
        if it.HasField("init_err") and "skip plugin" not in it.init_err.message
    ]
    assert failed == []


@pytest.mark.parametrize(
    "filters",
    [
        ["id==content"],
        ["type~=gc"],
        ["type==io.containerd.gc.v1,id==scheduler", "id==exchange"],
        ["platforms"],
        ["capabilities==rebase"],
        ["nonsense==x"],
        ["type<"],
        ["=="],
    ],
)
def test_filters_choose_what_they_choose_in_stock(daemons: dict[str, Daemon], filters: list[str]) -> None:
    def chosen(daemon: Daemon) -> Any:
        found = plugins(daemon, *filters)
        return found if isinstance(found, tuple) else [f"{it.type}.{it.id}" for it in found.plugins]

    assert chosen(daemons["ours"]) == chosen(daemons["stock"])


@pytest.mark.parametrize(
    ("type_", "id_", "options"),
    [
        ("io.containerd.nope", "x", None),
        ("", "", None),
        ("io.containerd.content.v1", "content", AnyMessage(type_url="containerd.types.Platform")),
        ("io.containerd.snapshotter.v1", "devmapper", AnyMessage(type_url="containerd.types.Platform")),
        ("io.containerd.content.v1", "content", AnyMessage(type_url="x")),
        ("io.containerd.nope", "content", AnyMessage(type_url="x")),
    ],
)
def test_information_is_refused_with_the_code_of_stock(
    daemons: dict[str, Daemon], type_: str, id_: str, options: AnyMessage | None
) -> None:
    codes = {name: info(daemon, type_, id_, options)[0] for name, daemon in daemons.items()}
    assert codes["ours"] == codes["stock"]


def test_the_information_of_a_plugin_is_its_registration(daemons: dict[str, Daemon]) -> None:
    told = info(daemons["ours"], "io.containerd.snapshotter.v1", "devmapper").plugin
    assert (told.id, told.init_err.code, told.platforms[0].os) == ("devmapper", 2, "linux")
    assert told.init_err.message.endswith("skip plugin")


def test_the_server_keeps_its_identity_over_restarts(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        first = ask(daemon, PLUGINS, "Server", Empty())
        kept = daemon.root / "io.containerd.grpc.v1.introspection" / "uuid"
        assert kept.read_text() == first.uuid
        assert kept.parent.stat().st_mode & 0o777 == 0o700
        assert (first.pid, first.pidns) == (daemon.pid, Path(f"/proc/{daemon.pid}/ns/pid").stat().st_ino)
        daemon.stop()
        daemon.up()
        assert ask(daemon, PLUGINS, "Server", Empty()).uuid == first.uuid
        daemon.stop()
        kept.write_text("nonsense")
        daemon.up()
        code, text = ask(daemon, PLUGINS, "Server", Empty())
        assert (code, str(kept) in text) == (grpc.StatusCode.INTERNAL, True)


def test_deprecations_are_those_of_stock_on_this_machine(daemons: dict[str, Daemon]) -> None:
    told = {
        name: [(it.id, it.message) for it in ask(daemon, PLUGINS, "Server", Empty()).deprecations]
        for name, daemon in daemons.items()
    }
    assert told["ours"] == told["stock"]


def test_the_version_names_the_interfaces_and_ours(daemons: dict[str, Daemon]) -> None:
    assert ask(daemons["ours"], VERSION, "Version", Empty()).version == version()


@pytest.mark.parametrize("service", ["", "x"])
def test_health_is_answered_as_by_stock(daemons: dict[str, Daemon], service: str) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    told = {name: ask(daemon, HEALTH, "Check", request) for name, daemon in daemons.items()}
    assert told["ours"] == told["stock"]
    listed = {name: ask(daemon, HEALTH, "List", health_pb2.HealthListRequest()) for name, daemon in daemons.items()}
    assert listed["ours"] == listed["stock"]


@pytest.mark.parametrize("service", ["", "x"])
def test_health_is_watched(daemons: dict[str, Daemon], service: str) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    first = []
    for daemon in daemons.values():
        with grpc.insecure_channel(f"unix://{daemon.address}") as channel:
            watch: Any = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )(request)
            first.append(next(watch).status)
            watch.cancel()
    assert first[0] == first[1]


def test_a_proxy_plugin_is_listed_with_what_it_exports(scratch: Path) -> None:
    section = (
        "[proxy_plugins.own]\ntype = 'snapshot'\naddress = '/run/own.sock'\ncapabilities = ['x']\n"
        "[proxy_plugins.own.exports]\nroot = '/r'\n"
    )
    with Daemon.start(OURS, scratch / "d", config=section) as daemon:
        (told,) = plugins(daemon, "id==own").plugins
    assert (told.type, dict(told.exports)) == (
        "io.containerd.snapshotter.v1",
        {"root": "/r", "address": "/run/own.sock"},
    )
    assert (list(told.capabilities), told.platforms[0].os) == (["x"], "linux")


def test_the_debug_endpoint_tells_of_the_process(scratch: Path) -> None:
    section = f"[plugins.'io.containerd.server.v1.debug']\naddress = '{scratch}/debug.sock'\n"
    with Daemon.start(OURS, scratch / "d", config=section):
        words = ["curl", "-s", "-w", "%{http_code}", "--unix-socket", f"{scratch}/debug.sock"]
        told = subprocess.run([*words, "http://x/debug/vars"], capture_output=True, text=True, check=True).stdout
        assert '"cmdline"' in told
        assert '"loop_delay_seconds"' in told
        missing = subprocess.run([*words, "http://x/debug/pprof/heap"], capture_output=True, text=True, check=True)
        assert missing.stdout.endswith("404")


def test_metrics_tell_the_build(scratch: Path) -> None:
    section = "[plugins.'io.containerd.server.v1.metrics']\naddress = '127.0.0.1:0'\n"
    with Daemon.start(OURS, scratch / "d", config=section) as daemon:
        address = re.search(r'msg=serving... address="(127.0.0.1:\d+)"', daemon.log.read_text())
        assert address is not None
        with urllib.request.urlopen(f"http://{address[1]}/v1/metrics") as answer:
            text = answer.read().decode()
    assert 'containerd_gc_gc_seconds_bucket{le="0.005"}' in text
    build = f'{{revision="{revision()}",version="{version()}"}}'
    assert f"containerd_build_info_total{build} 1\n" in text
