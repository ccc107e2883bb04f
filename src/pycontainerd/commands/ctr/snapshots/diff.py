"""`ctr snapshots diff`."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager

from pycontainerd.commands.ctr.flags import BOOL, STRINGS, Flag
from pycontainerd.commands.ctr.snapshots.chosen import DEFAULT, root_label
from pycontainerd.commands.ctr.values import parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycontainerd.api.containerd.types_pb2 import Mount
    from pycontainerd.client.snapshots import Snapshots
    from pycontainerd.commands.ctr.context import Context

_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
_COMMITTED = 3

FLAGS = (
    Flag("media-type", usage="Media type to use for creating diff", default=_GZIP),
    Flag("ref", usage="Content upload reference to use"),
    Flag("keep", BOOL, "Keep diff content. up to creator to delete it."),
    Flag("label", STRINGS, "Labels to attach to the image"),
)
USAGE = "[flags] <idA> [<idB>]"


async def run(ctx: Context) -> None:
    first = ctx.needed(0, "snapshot id must be provided")
    labels = parse_labels(ctx.texts("label"))
    if ctx.flag("keep"):
        labels.update(root_label())
    client = await ctx.client()
    async with client.leased() as leased, AsyncExitStack() as stack:
        chosen = leased.snapshots(ctx.text("snapshotter") or DEFAULT)
        second = ctx.argument(1)
        if second:
            older = await stack.enter_async_context(_seen(chosen, first, f"{first}-view-key"))
            newer = await stack.enter_async_context(_seen(chosen, second, f"{second}-view-key"))
        else:
            parent = (await chosen.stat(first)).parent
            older = await stack.enter_async_context(_viewed(chosen, parent, f"{parent}-parent-view-{_unique()}"))
            newer = await stack.enter_async_context(_seen(chosen, first, f"{first}-view-{_unique()}"))
        layer = await leased.diff.compare(
            older,
            newer,
            media_type=ctx.text("media-type"),
            ref=ctx.text("ref"),
            labels=labels,
            source_date_epoch_s=_epoch_s(),
        )
        async for data in leased.content.read(layer.digest):
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@asynccontextmanager
async def _seen(snapshots: Snapshots, key: str, view: str) -> AsyncIterator[list[Mount]]:
    """How to mount *key*; a committed one by the view *view*, which goes with the block."""
    if (await snapshots.stat(key)).kind != _COMMITTED:
        yield await snapshots.mounts(key)
        return
    async with _viewed(snapshots, key, view) as mounts:
        yield mounts


@asynccontextmanager
async def _viewed(snapshots: Snapshots, parent: str, view: str) -> AsyncIterator[list[Mount]]:
    mounts = await snapshots.view(view, parent)
    try:
        yield mounts
    finally:
        await snapshots.remove(view)


def _unique() -> str:
    return os.urandom(6).hex()


def _epoch_s() -> int | None:
    """The variable SOURCE_DATE_EPOCH, by which builds give equal bytes; None where it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isascii() and text.isdecimal() else None
