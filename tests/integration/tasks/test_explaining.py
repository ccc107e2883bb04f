"""What was tried for a task can be asked: while it is there, and after something has failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pycontainerd.api.pycontainerd.services.tasks import v1_pb2 as journals_pb2
from pycontainerd.errors import Error, NotFound
from pycontainerd.rpc.call import NAMESPACE_HEADER, Call
from pycontainerd.shim import steps
from pycontainerd.tasks.explaining import TaskJournalsService
from tests.integration.tasks import house
from tests.integration.tasks.house import OUR_RUNTIME, House, Place, mount, process

Story = Callable[[House], Awaitable[None]]


def run(place: Place, story: Story) -> None:
    async def body() -> None:
        async with House.open(place) as opened:
            await story(opened)

    house.run(body())


async def explain(house: House, id_: str = "c") -> list[Any]:
    service = TaskJournalsService(house.tasks)
    call = Call(path="/explain", metadata=((NAMESPACE_HEADER, house.place.namespace),))
    return list((await service.explain(journals_pb2.ExplainRequest(container_id=id_), call)).journals)


def failures(journal: Any) -> list[str]:
    return [f"{step.by}: {step.what}" for step in journal.steps if step.error]


async def fail(house: House, method: str, **fields: Any) -> None:
    with pytest.raises(Error):
        await house(method, **fields)


def test_the_steps_of_a_task_that_runs_are_told(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        await house("create", container_id="c")
        await house("start", container_id="c")
        (journal,) = await explain(house)
        assert not journal.gone
        assert not failures(journal)
        assert [step.what for step in journal.steps][:2] == ["start shim", "create"]
        assert all(step.HasField("took") for step in journal.steps)
        if place.runtime == OUR_RUNTIME:
            told = [step.what for step in journal.steps if step.by == "shim"]
            assert told[:2] == ["open streams", "runc create"]
            assert told[2].startswith(("start by exec.fifo", "runc start"))

    run(place, story)


def test_why_a_create_failed_can_be_asked_when_all_is_gone(place: Place) -> None:
    place.add("c", "/nope")

    async def story(house: House) -> None:
        await fail(house, "create", container_id="c")
        assert not place.bundle("c").exists()
        (journal,) = await explain(house)
        assert journal.gone
        last = journal.steps[1]
        assert (last.by, last.what) == ("daemon", "create")
        assert last.error.startswith("OCI runtime create failed: ")
        if place.runtime == OUR_RUNTIME:
            assert failures(journal) == ["daemon: create", "shim: runc create"]
        await fail(house, "create", container_id="c", rootfs=[mount(type="bind", source="/nope", options=["rbind"])])
        (journal,) = await explain(house)
        if place.runtime == OUR_RUNTIME:
            assert failures(journal) == ["daemon: create", "shim: mount bind on rootfs"]
        place.add("c")
        await house("create", container_id="c")
        there, gone = await explain(house)
        assert (there.gone, gone.gone) == (False, True)

    run(place, story)


def test_a_task_that_got_no_bundle_is_explained_as_well(place: Place) -> None:
    place.runtime = "io.containerd.nope.v2"
    place.add("c")

    async def story(house: House) -> None:
        await fail(house, "create", container_id="c")
        (journal,) = await explain(house)
        assert failures(journal) == ["daemon: start shim"]
        assert "binary not installed" in journal.steps[-1].error

    run(place, story)


def test_the_death_of_a_shim_is_part_of_the_story_and_survives_the_daemon(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        await house("create", container_id="c")
        await house("start", container_id="c")
        shim = await house.tasks.manager.shims.get(place.namespace, "c").api.connect("c")
        async with house.events() as until:
            house.kill(shim)
            await until("/tasks/delete")

    async def later(house: House) -> None:
        (journal,) = await explain(house)
        assert failures(journal) == ["daemon: shim lost"]
        assert [step.what for step in journal.steps][-2:] == ["shim lost", "shim delete"]
        assert journal.steps[-1].result == "status 137"

    run(place, story)
    run(place, later)


def test_what_went_well_is_forgotten_with_the_task(place: Place) -> None:
    place.add("c", "/bin/true")

    async def story(house: House) -> None:
        await house("create", container_id="c")
        await house("start", container_id="c")
        await house("wait", container_id="c")
        await house("delete", container_id="c")
        for id_ in ("c", "unheard-of"):
            with pytest.raises(NotFound):
                await explain(house, id_)
        with pytest.raises(Error):
            await explain(house, "../c")

    run(place, story)


def test_execs_are_noted_with_their_ends(place: Place) -> None:
    place.add("c")
    ours = place.runtime == OUR_RUNTIME  # what a foreign shim does is its own affair

    async def story(house: House) -> None:
        await house("create", container_id="c")
        await house("start", container_id="c")
        await house("exec", container_id="c", exec_id="e", spec=process("/bin/sh", "-c", "exit 4"))
        await house("start", container_id="c", exec_id="e")
        await house("wait", container_id="c", exec_id="e")
        await house("exec", container_id="c", exec_id="f", spec=process("/nope"))
        await fail(house, "start", container_id="c", exec_id="f")
        (journal,) = await explain(house)
        assert failures(journal) == (["shim: runc exec f"] if ours else [])
        exits = [step.result for step in journal.steps if step.what == "exit of e"]
        assert exits == (["status 4"] if ours else [])

    run(place, story)


def test_a_journal_of_the_shim_is_small(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        await house("create", container_id="c")
        await house("start", container_id="c")
        size = (place.bundle("c") / steps.NAME).stat().st_size
        assert size < 2048

    run(place, story)
