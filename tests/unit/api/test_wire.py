"""The wire contract agrees with the tables of the stock daemon, name for name and number for number."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor

TABLES = Path(__file__).parent / "wire"
OWN_ELSEWHERE = {"google.rpc": "google.rpc.status_pb2"}
TYPE_NAMES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def packages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(set(TABLES.glob("*.json")) - {TABLES / "index.json"}):
        found |= json.loads(path.read_text())["packages"]
    return found


PACKAGES = packages()


def file_of(package: str) -> FileDescriptor:
    module = OWN_ELSEWHERE.get(package, f"pycontainerd.api.{package}_pb2")
    descriptor = importlib.import_module(module).DESCRIPTOR
    assert isinstance(descriptor, FileDescriptor)
    return descriptor


def messages_below(descriptors: Iterator[Descriptor]) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        if descriptor.GetOptions().map_entry:
            continue
        yield descriptor
        yield from messages_below(iter(descriptor.nested_types))


def messages_of(package: str) -> dict[str, Descriptor]:
    return {d.full_name: d for d in messages_below(iter(file_of(package).message_types_by_name.values()))}


def enums_of(package: str) -> dict[str, EnumDescriptor]:
    found = dict(file_of(package).enum_types_by_name)
    nested = {e.full_name: e for m in messages_of(package).values() for e in m.enum_types}
    return {e.full_name: e for e in found.values()} | nested


def type_of(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    return str(kind.full_name) if kind is not None else TYPE_NAMES[field.type]


def row_of(field: FieldDescriptor) -> dict[str, Any]:
    """A field as the tables write one."""
    entry = field.message_type if field.message_type is not None and field.message_type.GetOptions().map_entry else None
    if entry is not None:
        key, value = (type_of(entry.fields_by_name[name]) for name in ("key", "value"))
        return {
            "n": field.number,
            "name": field.name,
            "type": value,
            "label": f"map<{key},{value}>",
            "oneof": None,
        }
    label = "repeated" if field.is_repeated else "optional"
    oneof = field.containing_oneof
    # An explicit-presence field sits in a oneof that the compiler made up: `_` and its name.
    presence = oneof is not None and oneof.name == f"_{field.name}"
    row = {"n": field.number, "name": field.name, "type": type_of(field), "label": label}
    return (
        row
        | {"oneof": oneof.name if oneof is not None and not presence else None}
        | ({"proto3_optional": True} if presence else {})
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_message_has_the_fields_of_the_table(package: str) -> None:
    table = PACKAGES[package]["messages"]
    ours = messages_of(package)
    if package == "google.rpc":  # the library has more messages than the daemon uses
        ours = {name: ours[name] for name in table}
    assert set(ours) == set(table)
    for name, rows in table.items():
        expected = [{key: value for key, value in row.items() if key != "deprecated"} for row in rows]
        assert [row_of(field) for field in sorted(ours[name].fields, key=lambda f: f.number)] == expected, name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_deprecated_field_says_so(package: str) -> None:
    for name, rows in PACKAGES[package]["messages"].items():
        ours = {field.name for field in messages_of(package)[name].fields if field.GetOptions().deprecated}
        assert ours == {row["name"] for row in rows if row["deprecated"]}, name


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "google.rpc"])
def test_every_enum_has_the_values_of_the_table(package: str) -> None:
    table = PACKAGES[package]["enums"]
    ours = {name: {value.name: value.number for value in enum.values} for name, enum in enums_of(package).items()}
    assert ours == table


def test_status_codes_are_those_of_the_table() -> None:
    from google.rpc import code_pb2

    assert dict(code_pb2.Code.items()) == PACKAGES["google.rpc"]["enums"]["google.rpc.Code"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_service_has_the_methods_of_the_table(package: str) -> None:
    services = file_of(package).services_by_name.values()
    ours = {
        service.full_name: [
            {
                "method": method.name,
                "input": method.input_type.full_name,
                "output": method.output_type.full_name,
                "client_stream": method.client_streaming,
                "server_stream": method.server_streaming,
            }
            for method in service.methods
        ]
        for service in services
    }
    assert ours == PACKAGES[package]["services"]


def test_the_tables_are_whole() -> None:
    assert len(PACKAGES) == json.loads((TABLES / "index.json").read_text())["totals"]["packages"]
