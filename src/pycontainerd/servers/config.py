"""The sections of config.toml of the servers."""

from __future__ import annotations

import os
from typing import Final

from msgspec import field

from pycontainerd.config.section import Section

ADDRESS: Final = "/run/containerd/containerd.sock"
MESSAGE_LIMIT: Final = 16 << 20


class GrpcConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.server.v1.grpc']`"""

    address: str = ADDRESS
    uid: int = field(default_factory=os.geteuid)
    gid: int = field(default_factory=os.getegid)
    max_recv_message_size: int = MESSAGE_LIMIT
    max_send_message_size: int = MESSAGE_LIMIT


class GrpcTcpConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.server.v1.grpc-tcp']`"""

    address: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_common_name: str = ""
    max_recv_message_size: int = MESSAGE_LIMIT
    max_send_message_size: int = MESSAGE_LIMIT


class TtrpcConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.server.v1.ttrpc']`"""

    address: str = f"{ADDRESS}.ttrpc"
    uid: int = field(default_factory=os.geteuid)
    gid: int = field(default_factory=os.getegid)


class DebugConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.server.v1.debug']`"""

    address: str = ""
    uid: int = 0
    gid: int = 0


class MetricsConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.server.v1.metrics']`"""

    address: str = ""
