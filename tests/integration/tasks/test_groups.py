"""Containers of one group share a shim."""

from __future__ import annotations

import os

from tests.integration.tasks.house import House, Place, run

GROUP = {"io.containerd.runc.v2.group": "g"}


async def start(house: House, id_: str) -> None:
    await house("create", container_id=id_)
    await house("start", container_id=id_)


async def end(house: House, id_: str) -> None:
    await house("kill", container_id=id_, signal=9)
    await house("wait", container_id=id_)
    await house("delete", container_id=id_)


def test_the_second_container_of_a_group_joins_the_shim_of_the_first(place: Place) -> None:
    place.add("one", annotations=GROUP)
    place.add("two", annotations=GROUP)

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "one")
            await start(house, "two")
            assert len(place.shims()) == 1
            await end(house, "one")
            assert [task.id for task in (await house("list")).tasks] == ["two"]
            await start(house, "one")
            assert len(place.shims()) == 1

    run(story())


def test_both_containers_of_a_group_are_found_after_a_restart(place: Place) -> None:
    place.add("one", annotations=GROUP)
    place.add("two", annotations=GROUP)

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "one")
            await start(house, "two")
        async with House.open(place) as house:
            assert sorted(task.id for task in (await house("list")).tasks) == ["one", "two"]
            await end(house, "one")
            await end(house, "two")
            assert os.listdir(place.state / place.namespace) == []

    run(story())


def test_a_killed_shim_takes_its_whole_group_along(place: Place) -> None:
    place.add("one", annotations=GROUP)
    place.add("two", annotations=GROUP)

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "one")
            await start(house, "two")
            async with house.events() as until:
                house.kill(place.shims()[0])
                await until("/tasks/delete")
                events = await until("/tasks/delete")
            gone = [event.container_id for event in events if event.DESCRIPTOR.name == "TaskDelete"]
            assert sorted(gone) == ["one", "two"]
            assert os.listdir(place.state / place.namespace) == []

    run(story())
