"""Logs of our own kind are followed and begun anew through the daemon, whoever writes them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.errors import FailedPrecondition, NotFound, Unknown
from tests.harness.logs import records
from tests.integration.tasks.house import House, Place, process, run

TICKS = ("/bin/sh", "-c", "while true; do echo tick; echo tock >&2; sleep 0.02; done")


async def start(house: House, uri: str, **fields: Any) -> None:
    await house("create", container_id="c1", stdout=uri, stderr=uri, **fields)
    await house("start", container_id="c1")


async def end(house: House) -> None:
    await house("kill", container_id="c1", signal=9)
    await house("wait", container_id="c1")
    await house("delete", container_id="c1")


async def has_lines(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists() or not path.stat().st_size:  # noqa: ASYNC110, ASYNC240 - another process writes it
            await asyncio.sleep(0.01)


def test_a_log_is_followed_and_begun_anew_and_outlives_the_daemon(place: Place) -> None:
    place.add("c1", *TICKS)
    path = place.base / "logs" / "c 1.log"

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, f"cri-log://{place.base}/logs/c%201.log?max-line=2")
            shim = await house.tasks.shim(place.namespace, "c1")
            async with house.tasks.outputs.followed(shim) as output:
                seen = [await anext(output), await anext(output)]
                assert {bytes(piece.data) for piece in seen} <= {b"tick\n", b"tock\n"}
        path.unlink()  # what comes now goes into a file that nobody can see, until it is begun anew
        async with House.open(place) as house:
            await house.tasks.outputs.reopen(await house.tasks.shim(place.namespace, "c1"))
            await has_lines(path)
            await end(house)
        found = records(path)
        assert {(record.tag, record.text) for record in found} == {("P", b"ti"), ("P", b"to"), ("F", b"ck")}
        assert {record.stream for record in found} == {"stdout", "stderr"}

    run(story())
    assert [name for name in os.listdir(place.base / "s") if not name.startswith("spawner")] == []


def test_a_follower_is_told_the_end(place: Place) -> None:
    place.add("c1", *TICKS)

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, f"cri-log://{place.base}/c1.log")
            shim = await house.tasks.shim(place.namespace, "c1")
            async with house.tasks.outputs.followed(shim) as output:
                await house("kill", container_id="c1", signal=9)
                await house("wait", container_id="c1")
                await house("delete", container_id="c1")
                async with asyncio.timeout(60):
                    async for _ in output:
                        pass

    run(story())


def test_an_exec_has_a_log_of_its_own(place: Place) -> None:
    place.add("c1", "/bin/sleep", "1000")
    path = place.base / "exec.log"

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "")
            shim = await house.tasks.shim(place.namespace, "c1")
            for exec_id, error in (("", FailedPrecondition), ("nobody", (NotFound, FailedPrecondition))):
                with pytest.raises(error):
                    await house.tasks.outputs.reopen(shim, exec_id)
            uri = f"cri-log://{path}"
            await house("exec", container_id="c1", exec_id="e1", stdout=uri, stderr=uri, spec=process(*TICKS))
            await house("start", container_id="c1", exec_id="e1")
            async with house.tasks.outputs.followed(shim, "e1") as output:
                await anext(output)
            await house("kill", container_id="c1", exec_id="e1", signal=9)
            await house("wait", container_id="c1", exec_id="e1")
            await house("delete_process", container_id="c1", exec_id="e1")
            assert {record.text for record in records(path)} == {b"tick", b"tock"}
            await end(house)

    run(story())


def test_a_log_that_can_not_be_meant_is_refused(place: Place) -> None:
    place.add("c1")

    async def story() -> None:
        async with House.open(place) as house:
            with pytest.raises(Unknown, match="max-size=x is no number"):
                await house("create", container_id="c1", stdout=f"cri-log://{place.base}/c1.log?max-size=x")
            assert not house.knows("c1")

    run(story())
