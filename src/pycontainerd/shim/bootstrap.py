"""`containerd-shim-runc-v2 start`: leaves a shim behind that serves the bundle's task, and says where.

The daemon tells what it wants on stdin: `BootstrapParams`; or, in older daemons, the bare Any of the options, or
nothing, and then flags and environment tell. An Any parses as BootstrapParams as well (its fields 1 and 2 are strings
there): only parameters with our id are believed. Little is loaded here, see `wire`.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final, NamedTuple

from pycontainerd.shim import address, demands, wire

INPUT_LIMIT: Final = 10 << 20
API_VERSION: Final = 3
OOM_RAISE: Final = 1
"""A shim is a little more likely to be killed than its daemon."""

OPTIONS: Final = "containerd.runc.v1.Options"
_SHIM_CGROUP: Final = 3


class Flags(NamedTuple):
    """What the command line says."""

    namespace: str = ""
    id: str = ""
    address: str = ""
    publish_binary: str = ""
    debug: bool = False


class Wanted(NamedTuple):
    """The shim that a daemon wants."""

    id: str
    namespace: str
    address: str
    ttrpc_address: str
    socket_dir: str
    publish_binary: str
    debug: bool
    shim_cgroup: str


def parse(data: bytes, flags: Flags) -> Wanted:
    """What stdin and flags ask for. Raises ValueError for options that are broken."""
    params = _params(data)
    if params is not None and wire.text(params, 1) == flags.id and wire.text(params, 2):
        extensions = [value for extension in wire.message(params, 8) for value in wire.message(extension, 1)]
        return Wanted(
            id=flags.id,
            namespace=wire.text(params, 2),
            address=wire.text(params, 6) or flags.address,
            ttrpc_address=wire.text(params, 5) or os.environ.get("TTRPC_ADDRESS", ""),
            socket_dir=wire.text(params, 9) or address.DEFAULT_DIRECTORY,
            publish_binary=wire.text(params, 7) or flags.publish_binary,
            debug=flags.debug or wire.signed(params, 3) < 0,
            shim_cgroup=next(filter(None, map(_shim_cgroup, extensions)), ""),
        )
    return Wanted(
        id=flags.id,
        namespace=flags.namespace,
        address=flags.address or os.environ.get("GRPC_ADDRESS", ""),
        ttrpc_address=os.environ.get("TTRPC_ADDRESS", ""),
        socket_dir=address.DEFAULT_DIRECTORY,
        publish_binary=flags.publish_binary,
        debug=flags.debug,
        shim_cgroup=_shim_cgroup(params or {}),
    )


def _params(data: bytes) -> wire.Fields | None:
    try:
        return wire.parse(data)
    except ValueError:
        return None


def _shim_cgroup(options: wire.Fields) -> str:
    """What runc's options in an Any say; extensions that we don't know are passed over."""
    if wire.text(options, 1).rpartition("/")[2] != OPTIONS:
        return ""
    value = options.get(2, [b""])[-1]
    return wire.text(wire.parse(value), _SHIM_CGROUP) if isinstance(value, bytes) else ""


def group_of(bundle: str) -> str:
    """The group that the spec of a bundle names, or nothing. Raises OSError, ValueError for a spec that isn't JSON."""
    with open(os.path.join(bundle, "config.json"), "rb") as file:
        content = file.read()
    if not any(key.encode() in content for key in address.GROUP_ANNOTATIONS):
        return ""
    annotations = json.loads(content).get("annotations") or {}
    return next((annotations[key] for key in address.GROUP_ANNOTATIONS if annotations.get(key)), "")


def start(wanted: Wanted, executable: str) -> bytes:
    """Starts a shim in the working directory, the bundle, or finds the one of its group: the encoded result.

    Raises OSError, Error.
    """
    bundle = os.getcwd()
    demands.check(os.environ, wanted.shim_cgroup)
    path = address.socket_path(wanted.socket_dir, wanted.address, wanted.namespace, group_of(bundle) or wanted.id)
    _link_directory(bundle, wanted.socket_dir)
    listening = address.listen(path)
    if listening is not None:
        request = {
            "namespace": wanted.namespace,
            "id": wanted.id,
            "address": wanted.address,
            "ttrpc_address": wanted.ttrpc_address,
            "bundle": bundle,
            "socket_path": path,
            "env": environment(wanted),
            "debug": wanted.debug,
            "publish_binary": wanted.publish_binary,
            "shim_cgroup": wanted.shim_cgroup,
        }
        with listening:
            try:
                _launch(request, title(executable, wanted), listening.fileno(), wanted.socket_dir)
            except BaseException:
                os.unlink(path)
                raise
    return wire.encode({1: API_VERSION, 2: f"unix://{path}", 3: "ttrpc"})


def _launch(request: dict[str, Any], shown: list[str], listening: int, socket_dir: str) -> None:
    from pycontainerd.spawner import quick

    log = open_log(request["bundle"])
    fds = [listening] if log < 0 else [listening, log]
    data = json.dumps(request).encode()
    directory = request["bundle"]
    try:
        if not quick.start_shim(socket_dir, data, fds, directory=directory, title=shown, oom_raise=OOM_RAISE):
            from pycontainerd.shim.launch import launch

            launch(data, fds, directory=directory, title=shown, oom_raise=OOM_RAISE, socket_dir=socket_dir)
    finally:
        if log >= 0:
            os.close(log)


def open_log(bundle: str) -> int:
    """The writing end of the daemon's fifo for the shim's log, -1 if nobody reads it."""
    try:
        return os.open(os.path.join(bundle, "log"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1


def title(executable: str, wanted: Wanted) -> list[str]:
    """What `ps` shows of the shim: the same as of the original."""
    flags = ["-namespace", wanted.namespace, "-id", wanted.id, "-address", wanted.address]
    return [executable, *flags, *(["-debug"] if wanted.debug else [])]


def environment(wanted: Wanted) -> dict[str, str]:
    """The environment of the shim: the daemon's, and what the original gives its own."""
    return {
        **os.environ,
        "GOMAXPROCS": "4",
        "OTEL_SERVICE_NAME": f"containerd-shim-{wanted.id}",
        "TTRPC_ADDRESS": wanted.ttrpc_address,
    }


def _link_directory(bundle: str, socket_dir: str) -> None:
    """`s` in the bundle leads to the sockets: a path that is short whatever the state directory is called."""
    try:
        os.symlink(socket_dir, os.path.join(bundle, "s"))
    except FileExistsError:
        return
