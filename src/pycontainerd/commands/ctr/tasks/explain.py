"""`ctr tasks explain`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from pycontainerd.api.pycontainerd.services.tasks.v1_pb2 import Journal, Step
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "CONTAINER"
DESCRIPTION = """Shows the steps that daemon and shim have taken for a task, and which of them failed. That of a task
that could not be created, or was lost with its shim, is kept for a while after it is gone."""


async def run(ctx: Context) -> None:
    container_id = ctx.needed(0, "container id must be provided")
    for place, journal in enumerate(await (await ctx.client()).journals.explain(container_id)):
        if place:
            ctx.print()
        _show(ctx, container_id, journal)


def _show(ctx: Context, container_id: str, journal: Journal) -> None:
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import rfc3339_nano

    first = journal.steps[0].at
    ctx.print(f"{container_id}, {'gone' if journal.gone else 'there'}, begun at {rfc3339_nano(first)}: {_sum(journal)}")
    begun_ns = first.ToNanoseconds()
    rows = [
        (f"+{(step.at.ToNanoseconds() - begun_ns) / 1e9:.3f}s", _took(step), step.by, step.what, _outcome(step))
        for step in journal.steps
    ]
    tables.show([("AT", "TOOK", "BY", "STEP", "RESULT"), *rows], tables.NARROW, ended=False)


def _sum(journal: Journal) -> str:
    """What went wrong first, or what is under way."""
    failed = [step for step in journal.steps if step.error]
    if failed:
        ended_ns = failed[0].at.ToNanoseconds() + failed[0].took.ToNanoseconds()
        # A step that fails takes along those that it is part of: the innermost is what broke.
        return f"failed at {[step for step in failed if step.at.ToNanoseconds() <= ended_ns][-1].what}"
    under_way = [step for step in journal.steps if not step.HasField("took")]
    return f"under way: {under_way[-1].what}" if under_way else "nothing has failed"


def _took(step: Step) -> str:
    return _milliseconds(step.took) if step.HasField("took") else "-"


def _milliseconds(took: Duration) -> str:
    return f"{took.ToNanoseconds() / 1e6:.1f}ms" if took.ToNanoseconds() else ""


def _outcome(step: Step) -> str:
    if step.error:
        return f"failed: {' '.join(step.error.split())}"
    if not step.HasField("took"):
        return "not ended"
    return step.result or "ok"
