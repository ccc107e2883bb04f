"""Resource limits, as a process tells a child that others fork for it."""

from __future__ import annotations

import resource


def limits() -> list[int]:
    """The numbers of all resource limits that this Python knows."""
    return sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def soft_limits() -> dict[int, int]:
    """The soft limits of this process."""
    return {number: resource.getrlimit(number)[0] for number in limits()}
