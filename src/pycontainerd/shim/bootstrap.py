"""`containerd-shim-runc-v2 start`: leaves a shim behind that serves the bundle's task, and says where.

The daemon tells what it wants on stdin: `BootstrapParams`; or, in older daemons, the bare Any of the options, or
nothing, and then flags and environment tell. An Any parses as BootstrapParams as well (its fields 1 and 2 are strings
there): only parameters with our id are believed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.shim import address, spec
from pycontainerd.shim import options as runc_options
from pycontainerd.shim.messages import ShimRequest

INPUT_LIMIT: Final = 10 << 20
API_VERSION: Final = 3


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says."""

    namespace: str = ""
    id: str = ""
    address: str = ""
    publish_binary: str = ""
    bundle: str = ""
    debug: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The shim that a daemon wants."""

    id: str
    namespace: str
    address: str
    ttrpc_address: str
    socket_dir: str
    publish_binary: str
    debug: bool
    options: runc_options.Options = field(default_factory=runc_options.Options)


def parse(data: bytes, flags: Flags) -> Wanted:
    """What stdin and flags ask for. Raises InvalidArgument for options that are none."""
    params = _params(data)
    if params is not None and params.instance_id == flags.id and params.namespace:
        first = next((extension.value for extension in params.extensions if _is_options(extension.value)), AnyMessage())
        return Wanted(
            params.instance_id,
            params.namespace,
            params.containerd_grpc_address or flags.address,
            params.containerd_ttrpc_address or os.environ.get("TTRPC_ADDRESS", ""),
            params.socket_dir or address.DEFAULT_DIRECTORY,
            params.containerd_binary or flags.publish_binary,
            flags.debug or params.log_level < 0,
            runc_options.from_any(first),
        )
    return Wanted(
        flags.id,
        flags.namespace,
        flags.address or os.environ.get("GRPC_ADDRESS", ""),
        os.environ.get("TTRPC_ADDRESS", ""),
        address.DEFAULT_DIRECTORY,
        flags.publish_binary,
        flags.debug,
        _legacy_options(data),
    )


def _params(data: bytes) -> Any:
    try:
        return bootstrap_pb2.BootstrapParams.FromString(data)
    except DecodeError:
        return None


def _is_options(message: Any) -> bool:
    """Options of other runtimes are passed over, as extensions that we don't know are."""
    return bool(message.type_url.rpartition("/")[2] == "containerd.runc.v1.Options")


def _legacy_options(data: bytes) -> runc_options.Options:
    try:
        message = AnyMessage.FromString(data)
    except DecodeError:
        return runc_options.Options()
    return runc_options.from_any(message) if _is_options(message) else runc_options.Options()


def start(wanted: Wanted, executable: str) -> bytes:
    """Starts a shim in the working directory, the bundle, or finds the one of its group: the encoded result.

    Raises OSError, Error.
    """
    bundle = os.getcwd()
    group = spec.read(bundle).group or wanted.id
    path = address.socket_path(wanted.socket_dir, wanted.address, wanted.namespace, group)
    _link_directory(bundle, wanted.socket_dir)
    listening = address.listen(path)
    if listening is not None:
        request = ShimRequest(
            namespace=wanted.namespace,
            id=wanted.id,
            address=wanted.address,
            ttrpc_address=wanted.ttrpc_address,
            bundle=bundle,
            socket_path=path,
            env=environment(wanted),
            debug=wanted.debug,
            publish_binary=wanted.publish_binary,
            shim_cgroup=wanted.options.shim_cgroup,
            executable=executable,
        )
        from pycontainerd.shim.launch import launch

        with listening:
            try:
                launch(request, listening, wanted.socket_dir)
            except BaseException:
                os.unlink(path)
                raise
    result = bootstrap_pb2.BootstrapResult(version=API_VERSION, address=f"unix://{path}", protocol="ttrpc")
    return bytes(result.SerializeToString())


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
