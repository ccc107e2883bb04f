"""The options of the runc runtime, as requests carry them and as the bundle keeps them."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.errors import InvalidArgument

OPTIONS_FILE: Final = "options.json"
RUNTIME_FILE: Final = "runtime"


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """`containerd.runc.v1.Options`; the names are those of `options.json`."""

    no_pivot_root: bool = False
    no_new_keyring: bool = False
    shim_cgroup: str = ""
    io_uid: int = 0
    io_gid: int = 0
    binary_name: str = ""
    root: str = ""
    systemd_cgroup: bool = False
    criu_image_path: str = ""
    criu_work_path: str = ""
    task_api_address: str = ""
    task_api_version: int = 0


def from_any(message: Any) -> Options:
    """The options in an Any; the defaults if it is empty. Raises InvalidArgument for another type or broken bytes."""
    if not message.type_url:
        return Options()
    if message.type_url.rpartition("/")[2] != runc_pb2.Options.DESCRIPTOR.full_name:
        raise InvalidArgument(f"options of type {message.type_url} are none of the runc runtime")
    try:
        parsed = runc_pb2.Options.FromString(message.value)
    except DecodeError as error:
        raise InvalidArgument(f"options of the runc runtime: {error}") from error
    return Options(**{name: getattr(parsed, name) for name in Options.__struct_fields__})


def write(bundle: str, options: Options) -> None:
    """Keeps the options in the bundle, for who cleans up after a dead shim."""
    _write(os.path.join(bundle, OPTIONS_FILE), msgspec.json.encode(options))
    _write(os.path.join(bundle, RUNTIME_FILE), options.binary_name.encode())


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
