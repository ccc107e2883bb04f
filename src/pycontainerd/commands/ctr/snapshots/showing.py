"""Mounts, as a shell or a program may use them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycontainerd.commands.ctr.flags import BOOL, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.types_pb2 import Mount
    from pycontainerd.commands.ctr.context import Context

MOUNT_FLAGS = (
    Flag("target,t", usage="Print the commands that mount the snapshot here"),
    Flag("mounts", BOOL, "Print the mounts as JSON"),
)


def show_commands(ctx: Context, target: str, mounts: Iterable[Mount]) -> None:
    """Prints a shell's line for each of *mounts*, to be mounted at *target*."""
    for mount in mounts:
        where = f"{target.rstrip('/')}/{mount.target}" if mount.target else target
        ctx.print(f"mount -t {mount.type} {mount.source} {where} -o {','.join(mount.options)}")


def show_mounts(ctx: Context, mounts: Sequence[Mount]) -> None:
    """Prints *mounts* as the flags of the command want them."""
    if ctx.text("target"):
        show_commands(ctx, ctx.text("target"), mounts)
    if ctx.flag("mounts"):
        from pycontainerd.commands.ctr import documents

        documents.show(
            [
                {"Type": each.type, "Source": each.source, "Target": each.target, "Options": list(each.options)}
                for each in mounts
            ]
        )
