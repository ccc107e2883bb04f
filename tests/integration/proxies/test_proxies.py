"""Snapshots, content and layers of another process: ours in front of stock containerd, and stock in front of ours."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK
from tests.harness.differences import deliberate
from tests.integration.proxies.houses import SCHEDULER, House, Without, pair, running

PLAIN = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture(scope="module", params=[OURS, STOCK], ids="{}-in-front".format)
def house(request: pytest.FixtureRequest, session_base: Path) -> Iterator[House]:
    with pair(request.param, session_base / f"proxy-{request.param}", collects=False) as made:
        yield made


def test_blobs_lie_behind_and_are_read_from_there(house: House) -> None:
    data = bytes(range(256)) * 9_000
    house.ahead.ctr("content", "ingest", "blob", stdin=data)
    blobs = house.ahead.ctr("content", "ls", "-q").lines
    assert len(blobs) == 1
    assert house.there("content", "ls", "-q") == blobs
    for by in (OURS, STOCK):
        assert len(house.ahead.ctr("content", "get", blobs[0], by=by).out) == len(data.decode(errors="replace"))


def test_ingests_are_checked_behind_and_wait_there(house: House) -> None:
    wrong = "sha256:" + "0" * 64
    refused = house.ahead.ctr("content", "ingest", "--expected-digest", wrong, "bad", stdin=b"data", check=False)
    assert "unexpected commit digest" in refused.err
    house.ahead.ctr("content", "ingest", "--expected-size", "8", "half", stdin=b"half", check=False)
    for lines in (house.ahead.ctr("content", "active").lines, house.there("content", "active")):
        assert [line.split()[1] for line in lines if "half" in line.split()[0]] == ["4B"]


def test_snapshots_lie_behind_and_layers_are_made_there(house: House) -> None:
    house.snapshots("prepare", "base")
    house.snapshots("commit", "bottom", "base")
    house.snapshots("prepare", "top", "bottom")
    names = house.snapshots_there()
    assert len(names) == 2
    assert all(name.startswith(f"{house.ahead.namespace}/") for name in names)
    assert house.snapshots("info", "top") != []
    assert house.snapshots("usage", "-b", "bottom")[1].split()[2] == "1"
    # The differ has its own content: what it makes is not known in front, as with stock in front of stock.
    diff = ("snapshots", "--snapshotter", house.snapshotter, "diff", "--media-type", PLAIN, "top")
    made = f"sha256:{hashlib.sha256(bytes(1024)).hexdigest()}"
    assert f"content digest {made}: not found" in house.ahead.ctr(*diff, check=False).err
    assert made in house.there("content", "ls", "-q")
    for key in ("top", "bottom"):
        house.snapshots("rm", key)


def test_plugins_tell_address_exports_capabilities_and_platform(house: House) -> None:
    told = house.ahead.ctr("plugins", "ls", "-d").out
    assert str(house.behind.address) in told
    assert f"{house.behind.root}/io.containerd.snapshotter.v1.overlayfs" in told
    assert "linux/arm64" in told


def test_images_unpack_and_run_and_the_collector_empties_what_is_behind(
    session_base: Path, busybox_archive: Path
) -> None:
    assert deliberate("disabled-built-ins-proxied")
    with pair(OURS, session_base / "proxy-gc") as house:
        ahead, behind = house.ahead, house.behind
        ahead.ctr("images", "import", busybox_archive)
        assert house.there("content", "ls", "-q") == ahead.ctr("content", "ls", "-q").lines
        assert ahead.run("--rm", IMAGE, "one", "echo", "hello").out == "hello\n"
        behind.ctr("-n", ahead.namespace, "snapshots", "prepare", "not-ours")
        ahead.ctr("images", "rm", "--sync", IMAGE)
        assert ahead.ctr("content", "ls", "-q").lines == []
        _eventually(lambda: house.snapshots_there() == ["not-ours"] and not house.there("content", "ls", "-q"))


def test_a_proxy_is_healthy_before_and_after_its_remote(session_base: Path) -> None:
    base = session_base / "proxy-late"
    behind = Without(STOCK, base / "b", STOCK, disabled=(SCHEDULER,))
    config = f"[proxy_plugins.native]\n  type = 'snapshot'\n  address = '{behind.address}'\n"
    disabled = ("io.containerd.snapshotter.v1.native", SCHEDULER)
    ahead = Without(OURS, base / "f", OURS, extra_config=config, disabled=disabled)
    with running(ahead):

        def prepares(key: str) -> bool:
            return ahead.ctr("snapshots", "--snapshotter", "native", "prepare", key, check=False).code == 0

        refused = ahead.ctr("snapshots", "--snapshotter", "native", "prepare", "a", check=False)
        assert "connection error" in refused.err
        assert " ok " in next(f"{line} " for line in ahead.ctr("plugins", "ls").lines if " native " in line)
        with running(behind):
            assert prepares("b")
            behind.kill()
            behind.up()
            assert prepares("c")


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
