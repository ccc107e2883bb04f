"""Which services a server serves, of those that the plugins offer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Plugins
from pycontainerd.rpc.service import Service, ServiceTable

_TTRPC: Final = "ttrpc"


def offered(plugins: Plugins) -> Iterator[Service]:
    """The services of all healthy plugins, in the order of their start."""
    for type_ in (types.GRPC, types.TTRPC):
        for instance in plugins.all(type_).values():
            if isinstance(instance, Service):
                yield instance
            elif isinstance(instance, tuple):
                yield from instance


def is_for_ttrpc(service: Service) -> bool:
    """Whether the contract of *service* is of a package made for ttrpc; all others are served over gRPC."""
    return _TTRPC in service.contract.file.package.split(".")


def grpc_table(plugins: Plugins) -> ServiceTable:
    """What the main socket answers to."""
    return ServiceTable(service for service in offered(plugins) if not is_for_ttrpc(service))


def tcp_table(plugins: Plugins) -> ServiceTable:
    """What is answered over TCP: services that say so by `over_tcp`, since whoever reaches the port reaches them."""
    services = (service for service in offered(plugins) if not is_for_ttrpc(service))
    return ServiceTable(service for service in services if getattr(service, "over_tcp", False))


def ttrpc_table(plugins: Plugins) -> ServiceTable:
    """What shims are answered."""
    return ServiceTable(service for service in offered(plugins) if is_for_ttrpc(service))
