"""What activations are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from pycontainerd.errors import Unimplemented
from pycontainerd.mounts.model import Mount


class Active(Struct, frozen=True):
    """A mount that was made. *mounted_at_ns* is nanoseconds since 1970 UTC."""

    mount: Mount
    point: str
    mounted_at_ns: int


class Activation(Struct, frozen=True):
    """Mounts that were made, and those left for the caller."""

    name: str
    active: Sequence[Active]
    system: Sequence[Mount]
    labels: Mapping[str, str]


class Step(Struct, frozen=True):
    """One mount of a plan: *transformers*, each with the type that it leaves, and then the type to be mounted."""

    mount: Mount
    transformers: Sequence[tuple[str, str]]
    type: str


class Plan(Struct, frozen=True):
    """*steps* of which the first *count* are mounted by us; what is left goes to the caller."""

    steps: Sequence[Step]
    count: int
    temporary: bool


def plan(
    mounts: Sequence[Mount],
    *,
    transformers: Sequence[str],
    handlers: Sequence[str],
    temporary: bool = False,
    allowed: Sequence[str] = (),
) -> Plan:
    """How far we must mount *mounts*. Raises Unimplemented if there is nothing that the caller can't do.

    The caller mounts by itself what is *allowed*: a type, whole or without its transformers, or `transformer/*`.
    """
    count = -1
    steps = []
    for index, mount in enumerate(mounts):
        step = _step(mount, transformers)
        steps.append(step)
        # Everything before a mount that is to be transformed has to be there, but not the mount itself.
        if mount.type not in allowed and any(f"{name}/*" not in allowed for name, _ in step.transformers):
            count = index
        if temporary or (step.type in handlers and step.type not in allowed):
            count = index + 1
    if count < 0:
        raise Unimplemented("")
    return Plan(steps, count, temporary)


def _step(mount: Mount, transformers: Sequence[str]) -> Step:
    """The mount with the known transformers before its type; from an unknown one on, all is the type."""
    found: list[tuple[str, str]] = []
    type_ = mount.type
    while True:
        name, slash, rest = type_.partition("/")
        if not slash or name not in transformers:
            return Step(mount, tuple(found), type_)
        found.append((name, rest))
        type_ = rest
