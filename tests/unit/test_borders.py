"""The borders of the layout: who may import whom. See `docs/architecture.md`."""

from __future__ import annotations

import pytest

from tests.harness.imports import below, is_below, modules, reached

THINGS = (
    "namespaces",
    "containers",
    "images",
    "content",
    "snapshots",
    "diff",
    "leases",
    "events",
    "sandboxes",
    "activations",
    "gc",
    "tasks",
    "transfer",
    "introspection",
    "streaming",
)
"""The folders that are each about one thing of the API."""

DAEMON = (
    *THINGS,
    "metadata",
    "plugin",
    "proxies",
    "servers",
    "daemon",
    "config",
    "runtime",
    "registry",
    "cri",
    "restarts",
    "monitoring",
)
"""What only the daemon loads."""

WIRELESS = ("model", "store", "backend", "local", "collection")
"""The rooms of such a folder that know their thing and not how it is asked for."""

FOREIGN = ("grpc", "h2", "hypercorn")

ALLOWED_WIRE = {
    # What stores publish are messages of the wire contract: subscribers get them as they are.
    "pycontainerd.api.containerd.events_pb2": "events are payloads of the contract",
    "pycontainerd.api.containerd.services.images.v1_pb2": "the events of images are defined there",
    "pycontainerd.api.containerd.types_pb2": "the envelope of an event; what a shim says of a process",
    "pycontainerd.rpc.call": "the rule of identifiers stands there",
}
ALLOWED_IN = {
    # A task is its shim: the store of tasks is a client of it, and must tell a lost connection from an answer.
    ("pycontainerd.tasks.store", "pycontainerd.rpc.ttrpc.link"): "asks shims",
}


def rooms() -> list[str]:
    return [name for name in below(*THINGS, "metadata") if name.rpartition(".")[2] in WIRELESS or "metadata" in name]


def test_stores_and_models_know_no_wire() -> None:
    crossed = [
        f"{name} imports {found.target}"
        for name in rooms()
        for found in modules()[name]
        if is_below(found.target, "pycontainerd.rpc") or is_below(found.target, "pycontainerd.api")
        if found.target not in ALLOWED_WIRE and (name, found.target) not in ALLOWED_IN
        # The packages around an allowed module are empty.
        if not any(is_below(allowed, found.target) for allowed in (*ALLOWED_WIRE, *(it for _, it in ALLOWED_IN)))
    ]
    assert crossed == []


def test_metadata_knows_nothing_of_what_is_kept_in_it() -> None:
    crossed = [
        f"{name} imports {found.target}"
        for name in below("metadata")
        if name.rpartition(".")[2] not in ("plugin", "assembly")
        for found in modules()[name]
        if any(is_below(found.target, f"pycontainerd.{thing}") for thing in THINGS)
    ]
    assert crossed == []


def test_stores_do_not_reach_into_each_other() -> None:
    crossed = [
        f"{name} imports {found.target}"
        for thing in THINGS
        for name in below(thing)
        if name.rpartition(".")[2] not in ("plugin", "service")
        for found in modules()[name]
        for other in THINGS
        if other != thing and found.target in (f"pycontainerd.{other}.store", f"pycontainerd.{other}.service")
    ]
    assert crossed == []


def test_stores_are_opened_by_plugins_only() -> None:
    """A service gets its store from the graph, which is where a requirement is declared."""
    crossed = [
        f"{name} imports {found.target}"
        for name in below("servers", "daemon", "config", "plugin")
        for found in modules()[name]
        if any(is_below(found.target, f"pycontainerd.{thing}.store") for thing in THINGS)
    ]
    assert crossed == []


@pytest.mark.parametrize("package", ["client", "commands.ctr", "commands.shim", "shim", "spawner", "system", "oci"])
def test_what_runs_outside_of_the_daemon_loads_nothing_of_it(package: str) -> None:
    inside = [f"pycontainerd.{folder}" for folder in DAEMON]
    chains = reached(below(package))
    crossed = [" → ".join(chain) for name, chain in chains.items() if any(is_below(name, it) for it in inside)]
    assert crossed == []


@pytest.mark.parametrize("package", ["rpc", "shim", "client", "mounts", "system", "commands.ctr", "commands.shim"])
def test_below_the_drivers_nothing_imports_asyncio(package: str) -> None:
    core = [name for name in below(package) if name != "pycontainerd.rpc.asyncio_driver"]
    chains = reached(core)
    crossed = [" → ".join(chains[name]) for name in ("asyncio", "uvloop") if name in chains]
    assert crossed == []


@pytest.mark.parametrize(
    ("process", "never"),
    [
        ("shim.child", ("asyncio", "uvloop", "sqlite3", "tomllib", "click", "rich", "aiohttp", "isal", "zstandard")),
        ("spawner.server", ("asyncio", "uvloop", "sqlite3", "google", "click", "rich", "logging")),
        ("diff.apply_worker", ("asyncio", "uvloop", "sqlite3", "google", "click", "rich", "aiohttp", "ssl")),
        ("commands.ctr", ("asyncio", "uvloop", "sqlite3", "aiohttp")),
    ],
)
def test_a_process_loads_only_what_it_serves(process: str, never: tuple[str, ...]) -> None:
    chains = reached(below(process))
    assert chains
    assert [" → ".join(chains[name]) for name in never if name in chains] == []


def test_workers_and_shims_load_no_services() -> None:
    for process in ("shim.child", "diff.apply_worker", "spawner.server"):
        services = [f"pycontainerd.{thing}.service" for thing in THINGS]
        assert [name for name in reached(below(process)) if name in services] == []


def test_nothing_imports_a_peer_of_the_tests() -> None:
    crossed = [
        f"{name} imports {found.target}"
        for name, imports in modules().items()
        for found in imports
        if found.target in FOREIGN
    ]
    assert crossed == []


def test_every_module_imports_only_what_exists() -> None:
    known = modules()
    missing = [
        f"{name} imports {found.target}"
        for name, imports in known.items()
        for found in imports
        if is_below(found.target, "pycontainerd") and found.target not in known
        if not found.target.endswith("_pb2")
    ]
    assert missing == []


def test_the_reader_of_imports_sees_what_it_should() -> None:
    """Without this a broken reader would let everything pass."""
    chains = reached(["pycontainerd.rpc.asyncio_driver"])
    assert "asyncio" in chains
    assert "pycontainerd.rpc.driver" in chains
    daemon = "pycontainerd.commands.containerd"
    assert "pycontainerd.plugin.graph" in reached(below("commands.containerd"))
    assert "pycontainerd.plugin.graph" not in reached([daemon], late=False)
    assert "ssl" not in {found.target for found in modules()["pycontainerd.servers.stream"] if not found.late}
    assert len(rooms()) > 10
