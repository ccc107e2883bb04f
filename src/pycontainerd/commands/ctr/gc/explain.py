"""`ctr gc explain`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.pycontainerd.services.gc.v1_pb2 import ExplainResponse, Explanation, Object
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("kind", usage="Kind of the object: content, images, snapshots/overlayfs, leases, ..."),)
USAGE = "<digest|snapshot|image>"
DESCRIPTION = """Shows the chain from a root (an image, a container, a lease ...) to the object that keeps it, or that
nothing does and when it will go. A digest may be cut short."""


async def run(ctx: Context) -> None:
    name = ctx.needed(0, "please provide the name of an image or a snapshot, or a digest")
    answer = await (await ctx.client()).gc.explain(name, kind=ctx.text("kind"))
    for place, explanation in enumerate(answer.explanations):
        if place:
            ctx.print()
        _show(ctx, explanation, answer)


def _show(ctx: Context, explanation: Explanation, answer: ExplainResponse) -> None:
    if not explanation.chain:
        ctx.print(f"{_named(explanation.object)}: nothing keeps it, {_fate(answer)}")
        return
    from pycontainerd.commands.ctr import tables

    ctx.print(f"{_named(explanation.object)}: kept by {_counted(explanation.roots)}{_until(explanation)}")
    rows = []
    by = explanation.root
    for depth, step in enumerate(explanation.chain):
        rows.append((f"{'  ' * depth}{_named(step.object)}", by))
        by = step.by
    tables.show([("CHAIN", "BY"), *rows], tables.WIDE, ended=False)


def _named(thing: Object) -> str:
    return f"{thing.kind} {thing.name}"


def _counted(roots: int) -> str:
    return "1 root" if roots == 1 else f"{roots} roots"


def _until(explanation: Explanation) -> str:
    """Until when the root keeps it, if not for ever."""
    if not explanation.HasField("expires_at"):
        return ""
    from pycontainerd.commands.ctr.values import local_seconds

    return f" until {local_seconds(explanation.expires_at)}"


def _fate(answer: ExplainResponse) -> str:
    if not answer.HasField("next_run"):
        return "it goes with the next collection, which `ctr gc` runs now"
    from pycontainerd.commands.ctr.helping import duration_text

    # Rounded up: it is not gone before.
    return f"it goes with the next collection, in {duration_text(answer.next_run.seconds + 1)} at most"
