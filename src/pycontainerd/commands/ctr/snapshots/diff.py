"""`ctr snapshots diff`."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from pycontainerd.commands.ctr.flags import BOOL, STRINGS, Flag
from pycontainerd.commands.ctr.snapshots.chosen import DEFAULT, root_label
from pycontainerd.commands.ctr.values import parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.types_pb2 import Descriptor
    from pycontainerd.client.client import Client
    from pycontainerd.client.snapshots import Snapshots
    from pycontainerd.commands.ctr.context import Context

_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

FLAGS = (
    Flag("media-type", usage="Media type to use for creating diff", default=_GZIP),
    Flag("ref", usage="Content upload reference to use"),
    Flag("keep", BOOL, "Keep diff content. up to creator to delete it."),
    Flag("label", STRINGS, "Labels to attach to the image"),
)
USAGE = "[flags] <idA> [<idB>]"


async def run(ctx: Context) -> None:
    first = ctx.needed(0, "snapshot id must be provided")
    from pycontainerd.client.changes import compared_with_parent

    labels = parse_labels(ctx.texts("label"))
    if ctx.flag("keep"):
        labels.update(root_label())
    client = await ctx.client()
    async with client.leased() as leased:
        chosen = leased.snapshots(ctx.text("snapshotter") or DEFAULT)
        second = ctx.argument(1)
        how = _How(ctx.text("media-type"), ctx.text("ref"), labels, _epoch_s())
        if second:
            layer = await _compared(leased, chosen, first, second, how)
        else:
            layer = await compared_with_parent(leased, chosen, first, **how._asdict())
        async for data in leased.content.read(layer.digest):
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class _How(NamedTuple):
    media_type: str
    ref: str
    labels: dict[str, str]
    source_date_epoch_s: int | None


async def _compared(client: Client, snapshots: Snapshots, first: str, second: str, how: _How) -> Descriptor:
    from pycontainerd.client.changes import seen

    async with (
        seen(snapshots, first, f"{first}-view-key") as older,
        seen(snapshots, second, f"{second}-view-key") as newer,
    ):
        return await client.diff.compare(older, newer, **how._asdict())


def _epoch_s() -> int | None:
    """The variable SOURCE_DATE_EPOCH, by which builds give equal bytes; None where it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isascii() and text.isdecimal() else None
