"""What is asked of stock and of ours: chains of requests, each chain in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd.services.containers import v1_pb2 as cs
from pycontainerd.api.containerd.services.images import v1_pb2 as im
from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from pycontainerd.api.containerd.services.namespaces import v1_pb2 as ns
from pycontainerd.api.containerd.types_pb2 import Descriptor

IMAGES: Final = im.DESCRIPTOR.services_by_name["Images"]
CONTAINERS: Final = cs.DESCRIPTOR.services_by_name["Containers"]
LEASES: Final = ls.DESCRIPTOR.services_by_name["Leases"]
NAMESPACES: Final = ns.DESCRIPTOR.services_by_name["Namespaces"]

DIGEST: Final = "sha256:" + "a" * 64
OTHER: Final = "sha256:" + "b" * 64
SPEC: Final = AnyMessage(type_url="types.test/Spec", value=b"spec")
LONG: Final = "x" * 4096
OWN: Final = "the chain's own"
NOWHERE: Final = "nobody-was-here"


@dataclass(frozen=True)
class Question:
    """One request. *namespace* None sends none."""

    service: ServiceDescriptor
    method: str
    request: Message
    namespace: str | None = OWN
    lease: str = ""

    def __str__(self) -> str:
        return f"{self.service.name}.{self.method}({str(self.request)[:200]!r}, {self.namespace}, {self.lease})"


Chain = Sequence[Question]


def image(name: str = "i", *, target: Mapping[str, Any] | None = None, **fields: Any) -> im.Image:
    described: dict[str, Any] = {"digest": DIGEST, "size": 3, "media_type": "m/t", **(target or {})}
    return im.Image(name=name, target=Descriptor(**described), **fields)


def container(id_: str = "c", **fields: Any) -> cs.Container:
    known: dict[str, Any] = {"runtime": cs.Container.Runtime(name="rt"), "spec": SPEC, **fields}
    return cs.Container(id=id_, **{key: value for key, value in known.items() if value is not None})


def mask(paths: Iterable[str]) -> FieldMask:
    return FieldMask(paths=paths)


def create_image(sent: im.Image, *, at: Timestamp | None = None, **where: Any) -> Question:
    return Question(IMAGES, "create", im.CreateImageRequest(image=sent, source_date_epoch=at), **where)


def update_image(sent: im.Image, *paths: str, at: Timestamp | None = None, **where: Any) -> Question:
    request = im.UpdateImageRequest(image=sent, update_mask=mask(paths), source_date_epoch=at)
    return Question(IMAGES, "update", request, **where)


def get_image(name: str, **where: Any) -> Question:
    return Question(IMAGES, "get", im.GetImageRequest(name=name), **where)


def list_images(*filters: str, **where: Any) -> Question:
    return Question(IMAGES, "list", im.ListImagesRequest(filters=filters), **where)


def delete_image(name: str, *, target: Descriptor | None = None, sync: bool = False, **where: Any) -> Question:
    return Question(IMAGES, "delete", im.DeleteImageRequest(name=name, target=target, sync=sync), **where)


def create_container(sent: cs.Container, **where: Any) -> Question:
    return Question(CONTAINERS, "create", cs.CreateContainerRequest(container=sent), **where)


def update_container(sent: cs.Container, *paths: str, **where: Any) -> Question:
    request = cs.UpdateContainerRequest(container=sent, update_mask=mask(paths))
    return Question(CONTAINERS, "update", request, **where)


def get_container(id_: str, **where: Any) -> Question:
    return Question(CONTAINERS, "get", cs.GetContainerRequest(id=id_), **where)


def list_containers(*filters: str, method: str = "list", **where: Any) -> Question:
    return Question(CONTAINERS, method, cs.ListContainersRequest(filters=filters), **where)


def delete_container(id_: str, **where: Any) -> Question:
    return Question(CONTAINERS, "delete", cs.DeleteContainerRequest(id=id_), **where)


def create_lease(id_: str, labels: Mapping[str, str] | None = None, **where: Any) -> Question:
    return Question(LEASES, "create", ls.CreateRequest(id=id_, labels=labels), **where)


def delete_lease(id_: str, *, sync: bool = False, **where: Any) -> Question:
    return Question(LEASES, "delete", ls.DeleteRequest(id=id_, sync=sync), **where)


def list_leases(*filters: str, **where: Any) -> Question:
    return Question(LEASES, "list", ls.ListRequest(filters=filters), **where)


def add_resource(lease: str, type_: str, id_: str, **where: Any) -> Question:
    request = ls.AddResourceRequest(id=lease, resource=ls.Resource(type=type_, id=id_))
    return Question(LEASES, "add_resource", request, **where)


def delete_resource(lease: str, type_: str, id_: str, **where: Any) -> Question:
    request = ls.DeleteResourceRequest(id=lease, resource=ls.Resource(type=type_, id=id_))
    return Question(LEASES, "delete_resource", request, **where)


def list_resources(lease: str, **where: Any) -> Question:
    return Question(LEASES, "list_resources", ls.ListResourcesRequest(id=lease), **where)


def create_namespace(name: str, labels: Mapping[str, str] | None = None) -> Question:
    request = ns.CreateNamespaceRequest(namespace=ns.Namespace(name=name, labels=labels))
    return Question(NAMESPACES, "create", request, namespace=None)


def update_namespace(name: str, labels: Mapping[str, str], *paths: str) -> Question:
    sent = ns.Namespace(name=name, labels=labels)
    return Question(NAMESPACES, "update", ns.UpdateNamespaceRequest(namespace=sent, update_mask=mask(paths)), None)


def get_namespace(name: str) -> Question:
    return Question(NAMESPACES, "get", ns.GetNamespaceRequest(name=name), namespace=None)


def delete_namespace(name: str) -> Question:
    return Question(NAMESPACES, "delete", ns.DeleteNamespaceRequest(name=name), namespace=None)
