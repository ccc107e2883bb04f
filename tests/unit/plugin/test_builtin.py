"""The plugins that a daemon has: built in, and from installed packages."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from pycontainerd.plugin.all import external
from pycontainerd.plugin.builtin import BUILTIN, builtin, load
from pycontainerd.plugin.graph import ordered

STOCK_ORDER = """
content.v1.content image-verifier.v1.bindir internal.v1.opt warning.v1.deprecations event.v1.exchange
mount-handler.v1.erofs snapshotter.v1.blockfile snapshotter.v1.btrfs snapshotter.v1.devmapper snapshotter.v1.erofs
snapshotter.v1.native snapshotter.v1.overlayfs snapshotter.v1.zfs monitor.task.v1.cgroups metadata.v1.bolt
gc.v1.scheduler server.v1.metrics tracing.processor.v1.otlp internal.v1.tracing nri.v1.nri ttrpc.v1.otelttrpc
service.v1.containers-service service.v1.content-service differ.v1.erofs mount-manager.v1.bolt differ.v1.walking
service.v1.diff-service service.v1.images-service service.v1.introspection-service service.v1.namespaces-service
service.v1.snapshots-service shim.v1.manager runtime.v2.task service.v1.tasks-service grpc.v1.containers
grpc.v1.content grpc.v1.diff grpc.v1.events grpc.v1.images grpc.v1.introspection lease.v1.manager grpc.v1.leases
grpc.v1.mounts grpc.v1.namespaces sandbox.store.v1.local transfer.v1.local cri.v1.images cri.v1.runtime
podsandbox.controller.v1.podsandbox sandbox.controller.v1.shim grpc.v1.sandbox-controllers grpc.v1.sandboxes
grpc.v1.snapshots streaming.v1.manager grpc.v1.streaming grpc.v1.tasks grpc.v1.transfer grpc.v1.version
grpc.v1.healthcheck grpc.v1.cri server.v1.ttrpc monitor.container.v1.restart metrics.v1.grpc-prometheus
metrics.v1.grpc-otel server.v1.grpc server.v1.grpc-tcp http.v1.pprof server.v1.debug
"""
"""What `ctr plugins ls` of stock lists, in its order."""


def test_the_built_in_plugins_start_in_the_order_of_stock() -> None:
    order = [it.uri.removeprefix("io.containerd.") for it in ordered(builtin())]
    stock = STOCK_ORDER.split()
    assert [uri for uri in order if uri in stock] == stock


def test_every_section_has_defaults() -> None:
    for registration in builtin():
        if registration.config is not None:
            assert issubclass(registration.config, msgspec.Struct)
            registration.config()


def test_every_line_of_the_table_names_another_plugin() -> None:
    assert len({load(line).uri for line in BUILTIN}) == len(BUILTIN)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that Python finds packages in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_package_offers_a_plugin_by_an_entry_point(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "foreign.py").write_text(
        "from pycontainerd.plugin.registration import plugin\n"
        "@plugin('com.example.v1', 'mine')\n"
        "async def mine(init):\n    return 'mine'\n"
    )
    info = site / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(
        "[console_scripts]\nforeign = foreign:main\n\n[pycontainerd.plugins]\n# ours\nmine = foreign:mine [extra]\n"
    )
    try:
        assert [it.uri for it in external()] == ["com.example.v1.mine"]
    finally:
        sys.modules.pop("foreign", None)


def test_what_a_package_offers_must_be_a_registration(site: Path) -> None:
    info = site / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[pycontainerd.plugins]\nmine = os:getpid\n")
    with pytest.raises(TypeError, match="os:getpid is no registration of a plugin"):
        list(external())
