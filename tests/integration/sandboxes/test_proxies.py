"""Sandboxes that another daemon runs, `[proxy_plugins]` of type sandbox: ours and stock's in front of each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.daemon import OURS, STOCK, Kind
from tests.integration.proxies.houses import renamed
from tests.integration.sandboxes.house import House, house
from tests.integration.test_shim_under_stock import Events

BUILT_IN = "io.containerd.sandbox.controller.v1.shim"


@contextmanager
def in_front(kind: Kind, base: Path, behind: House, controller: str) -> Iterator[House]:
    """A daemon that has its sandboxes from *behind*."""
    config = f"[proxy_plugins.{controller}]\n  type = 'sandbox'\n  address = '{behind.daemon.address}'\n"
    with house(kind, base, config=config, disabled=(BUILT_IN,)) as each:
        each.daemon.namespace = behind.namespace
        yield each


def life(front: House, behind: House, controller: str) -> tuple[list[str], list[str]]:
    """Answers and events of a sandbox's life in front, of what its shim refuses, and of one that nobody knows."""

    def ask(method: str, id_: str = "s", **fields: Any) -> str:
        return front.control(method, id_, sandboxer=controller, **fields)

    with Events(front.daemon) as events:
        said = [
            ask("create", sandbox=behind.sandbox("s"), netns_path="/netns", annotations={"key": "value"}),
            ask("create", sandbox=behind.sandbox("s")),
            *(ask(method) for method in ("start", "status", "metrics", "update", "platform")),
            ask("status", verbose=True),
            ask("stop", timeout_secs=3),
            *(ask(method) for method in ("wait", "status")),
        ]
        created = behind.asked("s")[0]
        assert (created["netnsPath"], created["annotations"]) == ("/netns", {"key": "value"})
        said += [
            ask("shutdown"),
            *(ask(method) for method in ("start", "stop", "wait", "status", "shutdown", "metrics")),
        ]
        said.append(ask("create", "CreateSandbox-refused", sandbox=behind.sandbox("CreateSandbox-refused")))
        events.until("/sandboxes/exit")
    return said, [line.split()[5] for line in events.lines if "/sandboxes" in line]


def test_ours_and_stock_in_front_of_ours_say_the_same(session_base: Path) -> None:
    site = renamed(session_base / "site", "remote", "pycontainerd.sandboxes.plugin", "shim")
    with house(OURS, session_base / "ours-behind", environment=site) as behind:
        behind.controller = "remote"
        seen = {}
        for kind in (STOCK, OURS):
            with in_front(kind, session_base / f"{kind}-in-front", behind, "remote") as front:
                seen[kind] = life(front, behind, "remote")
        for ours, theirs in zip(seen[OURS], seen[STOCK], strict=True):
            assert ours == theirs
        assert seen[OURS][1] == ["/sandboxes/create", "/sandboxes/start", "/sandboxes/exit"]


def test_ours_in_front_of_stock_passes_on_what_stock_says(session_base: Path) -> None:
    with house(STOCK, session_base / "stock-behind") as behind:
        direct = life(behind, behind, "shim")
        with in_front(OURS, session_base / "in-front", behind, "shim") as front:
            said, told = life(front, behind, "shim")
            twice = 'failed to start sandbox "s": '  # each daemon says it
            assert [answer.replace(twice * 2, twice) for answer in said] == direct[0]
            assert told == direct[1]
            assert front.control("update", "s", sandbox=behind.sandbox("s"), fields=["labels"]) == ""
            behind.daemon.kill()
            assert front.control("status", "s").startswith("UNAVAILABLE: connection error")
            behind.daemon.up()
            assert "created_at" in front.control("status", "s")
