"""`containerd-shim-runc-v2 -info`: what this runtime is, with the features that runc prints of itself."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from pycontainerd import CONTAINERD_VERSION, VERSION
from pycontainerd.api.containerd import types_pb2
from pycontainerd.shim import options as runc_options
from pycontainerd.system.output import run

NAME: Final = "io.containerd.runc.v2"
FEATURES_URL: Final = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
FEATURES_S: Final = 10.0


def describe(data: bytes) -> Any:
    """The RuntimeInfo for options (an Any, or nothing). Raises InvalidArgument for options that are none."""
    info = types_pb2.RuntimeInfo(name=NAME)
    info.version.version = version()
    options = _options(data)
    if options.type_url:
        info.options.CopyFrom(options)
    features = _features(runc_options.from_any(options).binary_name or "runc")
    if features:
        info.features.type_url = FEATURES_URL
        info.features.value = features
    return info


def version() -> str:
    """The version that we show: the one whose interface this is, and our own."""
    return f"{CONTAINERD_VERSION}+pycontainerd.{VERSION}"


def _options(data: bytes) -> AnyMessage:
    try:
        return AnyMessage.FromString(data)
    except DecodeError:
        return AnyMessage()


def _features(program: str) -> bytes:
    """What `runc features` prints; nothing if it can't."""
    try:
        done = run([program, "features"], timeout_s=FEATURES_S)
    except (OSError, TimeoutError):
        return b""
    return b"" if done.status else done.stdout
