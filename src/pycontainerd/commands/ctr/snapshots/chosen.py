"""The snapshotter that the group's flag names, and words for kinds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.snapshots import Snapshots
    from pycontainerd.commands.ctr.context import Context

DEFAULT = "overlayfs"
ROOT_LABEL = "containerd.io/gc.root"
_KINDS = ("Unknown", "View", "Active", "Committed")


async def snapshots(ctx: Context) -> Snapshots:
    """The snapshots of the chosen snapshotter."""
    client = await ctx.client()
    return client.snapshots(ctx.text("snapshotter") or DEFAULT)


def kind_word(kind: int) -> str:
    """The word for a kind of snapshot."""
    return _KINDS[kind] if 0 <= kind < len(_KINDS) else "Unknown"


def root_label() -> dict[str, str]:
    """The label that keeps a snapshot from the collector until somebody removes it."""
    import time

    return {ROOT_LABEL: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
