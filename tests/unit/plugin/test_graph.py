"""The order in which plugins start, what dependants see, and how plugins end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.clock import SystemClock
from pycontainerd.errors import FailedPrecondition, Internal, NotFound, Unavailable
from pycontainerd.ids import RandomIds
from pycontainerd.plugin.graph import Graph, StartedPlugins, ordered
from pycontainerd.plugin.registration import Init, RefuseStart, Registration, SkipPlugin, Start, plugin
from pycontainerd.plugin.types import SERVER


def registration(type_: str, id_: str, *requires: str, start: Start | None = None) -> Registration:
    async def nothing(init: Init) -> str:
        return init.uri

    return plugin(type_, id_, requires=requires)(start or nothing)


def failing(error: Exception) -> Start:
    async def start(init: Init) -> None:
        raise error

    return start


def describe(it: Registration, plugins: StartedPlugins, stack: AsyncExitStack) -> Init:
    return Init(
        uri=it.uri,
        root=Path("/nowhere"),
        state=Path("/nowhere"),
        address="",
        ttrpc_address="",
        config=None,
        plugins=plugins,
        stack=stack,
        spawn=lambda coroutine, *, name: None,
        clock=SystemClock(),
        ids=RandomIds(),
    )


def started(*registrations: Registration, required: Sequence[str] = ()) -> StartedPlugins:
    """The plugins after a start of all *registrations*."""

    async def run() -> StartedPlugins:
        async with Graph(ordered(registrations), describe, required) as graph:
            await graph.start()
            return graph.plugins

    return asyncio.run(run())


def uris(registrations: Sequence[Registration]) -> list[str]:
    return [it.uri for it in registrations]


def test_a_plugin_starts_after_all_plugins_of_the_types_that_it_requires() -> None:
    order = ordered(
        [
            registration("a", "1", "c", "b"),
            registration("b", "1"),
            registration("c", "1", "b"),
            registration("b", "2"),
            registration("d", "1"),
        ]
    )
    assert uris(order) == ["b.1", "b.2", "c.1", "a.1", "d.1"]


def test_a_star_requires_everything_else() -> None:
    order = ordered([registration("a", "1", "*"), registration("a", "2"), registration("b", "1")])
    assert uris(order) == ["a.2", "b.1", "a.1"]


def test_disabled_plugins_appear_nowhere() -> None:
    order = ordered([registration("a", "1", "b"), registration("b", "1"), registration("b", "2")], ["b.1"])
    assert uris(order) == ["b.2", "a.1"]


@pytest.mark.parametrize(
    ("registrations", "reason"),
    [
        (
            [registration("a", "1", "b"), registration("b", "1", "c"), registration("c", "1", "a")],
            "plugins require each other: a.1 → b.1 → c.1 → a.1",
        ),
        ([registration("a", "1", "a")], "plugin a.1: requires its own type"),
        ([registration("a", "1"), registration("a", "1")], "plugin a.1: registered twice"),
    ],
)
def test_a_graph_that_cannot_be_is_refused(registrations: list[Registration], reason: str) -> None:
    with pytest.raises(Internal, match=reason):
        ordered(registrations)


def test_a_skipped_plugin_is_as_if_it_were_absent() -> None:
    plugins = started(registration("a", "1", start=failing(SkipPlugin("no such device"))), registration("a", "2"))
    assert plugins.single("a") == "a.2"
    assert plugins.all("a") == {"2": "a.2"}
    assert [it.skipped for it in plugins.started()] == [True, False]
    assert str(plugins.started()[0].error) == "no such device: skip plugin"


def test_a_failed_plugin_gives_its_error_to_those_who_ask_for_it() -> None:
    plugins = started(registration("a", "1", start=failing(Unavailable("the disk"))), registration("b", "1"))
    with pytest.raises(Unavailable, match="the disk"):
        plugins.single("a")
    with pytest.raises(Unavailable, match="the disk"):
        plugins.by_id("a", "1")
    assert plugins.all("a") == {}
    assert plugins.single("b") == "b.1"


def test_what_a_failed_plugin_gives_its_dependants_fails_them_too() -> None:
    async def dependant(init: Init) -> Any:
        return init.plugins.single("a")

    plugins = started(
        registration("b", "1", "a", start=dependant), registration("a", "1", start=failing(ValueError("broken")))
    )
    assert [(it.registration.uri, str(it.error)) for it in plugins.started()] == [("a.1", "broken"), ("b.1", "broken")]


def test_who_asks_for_one_of_several_is_refused() -> None:
    plugins = started(registration("a", "1"), registration("a", "2"))
    with pytest.raises(FailedPrecondition, match="multiple plugins registered for a"):
        plugins.single("a")


def test_who_asks_for_what_is_not_there_is_told() -> None:
    with pytest.raises(NotFound, match="no plugins registered for a: plugin: not found"):
        started().single("a")
    with pytest.raises(NotFound, match=r"a\.1"):
        started().by_id("a", "1")


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (failing(SkipPlugin("not here")), "load required plugin a.1: not here: skip plugin"),
        (failing(Unavailable("disk")), "load required plugin a.1: disk: unavailable"),
    ],
)
def test_a_required_plugin_that_does_not_start_ends_the_start(start: Start, reason: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        started(registration("a", "1", start=start), required=["a.1"])
    assert str(caught.value) == reason


def test_required_plugins_that_do_not_exist_are_named() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        started(registration("a", "1"), required=["b.2", "a.1", "b.1"])
    assert str(caught.value) == "required plugin [b.1 b.2] not included"


def test_a_plugin_that_promised_to_be_ready_must_not_fail() -> None:
    async def start(init: Init) -> None:
        init.readiness.append(lambda: asyncio.sleep(0))
        raise Unavailable("disk")

    with pytest.raises(FailedPrecondition, match="failed after registering readiness"):
        started(registration("a", "1", start=start))


class Recorder:
    """Plugins and servers that say what happens to them."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, name: str) -> Start:
        async def start(init: Init) -> str:
            self.said.append(f"start {name}")
            init.stack.callback(self.said.append, f"close {name}")
            init.after_serving.append(self._say(f"{name} heard that serving has begun"))
            init.readiness.append(self._say(f"{name} is ready"))
            return name

        return start

    def server(self, name: str) -> Start:
        recorder = self

        class Server:
            async def serve(self) -> None:
                recorder.said.append(f"serve {name}")

            async def stop(self) -> None:
                recorder.said.append(f"stop {name}")

        async def start(init: Init) -> Server:
            return Server()

        return start

    def _say(self, text: str) -> Any:
        async def say() -> None:
            self.said.append(text)

        return say


def test_servers_serve_last_and_stop_first_and_plugins_close_in_reverse() -> None:
    recorder = Recorder()

    async def run() -> None:
        order = ordered(
            [
                registration(SERVER, "1", start=recorder.server("one")),
                registration("a", "1", start=recorder.start("first")),
                registration(SERVER, "2", start=recorder.server("two")),
                registration("b", "1", start=recorder.start("second")),
            ]
        )
        async with Graph(order, describe) as graph:
            await graph.start()
            await graph.serve()
            await graph.wait_ready()

    asyncio.run(run())
    assert recorder.said == [
        "start first",
        "start second",
        "serve one",
        "serve two",
        "first heard that serving has begun",
        "second heard that serving has begun",
        "first is ready",
        "second is ready",
        "stop two",
        "stop one",
        "close second",
        "close first",
    ]


def test_what_a_plugin_took_before_it_failed_is_given_back_at_once() -> None:
    said: list[str] = []

    async def start(init: Init) -> None:
        init.stack.callback(said.append, "given back")
        raise Unavailable("disk")

    async def other(init: Init) -> None:
        said.append("other started")

    started(registration("a", "1", start=start), registration("b", "1", start=other))
    assert said == ["given back", "other started"]


def test_what_a_plugin_takes_after_its_start_is_given_back_as_well() -> None:
    said: list[str] = []

    async def run() -> None:
        async with Graph(ordered([registration("a", "1")]), describe) as graph:
            await graph.start()
            graph.plugins.started()[0].init.stack.callback(said.append, "given back")
        assert said == ["given back"]

    asyncio.run(run())


def test_a_server_that_cannot_listen_ends_the_start_and_the_others_stop() -> None:
    recorder = Recorder()

    async def busy(init: Init) -> Any:
        class Server:
            async def serve(self) -> None:
                raise FailedPrecondition("the address is taken")

            async def stop(self) -> None:
                recorder.said.append("stop busy")

        return Server()

    async def run() -> None:
        order = [registration(SERVER, "1", start=recorder.server("one")), registration(SERVER, "2", start=busy)]
        async with Graph(ordered(order), describe) as graph:
            await graph.start()
            await graph.serve()

    with pytest.raises(FailedPrecondition, match="the address is taken"):
        asyncio.run(run())
    assert recorder.said == ["serve one", "stop busy", "stop one"]


def test_the_log_tells_of_every_plugin_as_stock_does(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        started(
            registration("a", "1"),
            registration("a", "2", start=failing(SkipPlugin())),
            registration("a", "3", start=failing(Unavailable("disk"))),
        )
    told = [(record.levelname, record.getMessage(), record.__dict__["fields"]["id"]) for record in caplog.records]
    assert told == [
        ("INFO", "loading plugin", "a.1"),
        ("INFO", "loading plugin", "a.2"),
        ("INFO", "skip loading plugin", "a.2"),
        ("INFO", "loading plugin", "a.3"),
        ("WARNING", "failed to load plugin", "a.3"),
    ]


def test_a_plugin_may_refuse_the_start_of_the_whole_daemon() -> None:
    with pytest.raises(FailedPrecondition, match="the root belongs to another"):
        started(registration("a", "1", start=failing(RefuseStart("the root belongs to another"))))
