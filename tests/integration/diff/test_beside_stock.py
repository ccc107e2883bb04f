"""What our differ makes of a layer is what stock containerd makes of it."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import itertools
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycontainerd.errors import Error
from pycontainerd.mounts.model import Mount
from tests.harness.asking import over_socket
from tests.harness.daemon import STOCK, Daemon
from tests.harness.differences import deliberate
from tests.harness.spawners import end_spawners
from tests.integration.diff.appliers import Applier, Ours, Stock, bind, overlay
from tests.unit.diff.archives import (
    DIRECTORY,
    FIFO,
    Facts,
    Member,
    archive,
    directory,
    hardlink,
    listing,
    members,
    symlink,
)

LONG_AGO_NS = 1_790_000_000 * 10**9
"""Later times are those of the test itself: of directories that no member describes."""

OCI = "application/vnd.oci.image.layer.v1.tar"
DOCKER = "application/vnd.docker.image.rootfs.diff.tar"


@dataclasses.dataclass
class Pair:
    """Stock and ours, and a place for what they extract."""

    stock: Applier
    ours: Applier
    base: Path
    numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def both(self, layers: list[bytes], media_type: str = OCI, *, direct: bool = False) -> tuple[Result, Result]:
        return self._one(self.stock, layers, media_type, direct), self._one(self.ours, layers, media_type, direct)

    def _one(self, applier: Applier, layers: list[bytes], media_type: str, direct: bool) -> Result:
        """Applies *layers* one on top of the other; the last one to an upper directory if *direct*."""
        place = self.base / str(next(self.numbers))
        root, upper, work = (place / name for name in ("root", "upper", "work"))
        for each in (root, upper, work):
            each.mkdir(parents=True)
        applied: list[tuple[str, int]] = []
        error = ""
        for index, layer in enumerate(layers):
            last = direct and index == len(layers) - 1
            mounts: list[Mount] = overlay(upper, work, [root]) if last else bind(root)
            try:
                applied.append(applier.apply(layer, mounts, media_type))
            except Error as failure:
                error = failure.message
                break
        found = {
            path: dataclasses.replace(facts, mtime_ns=-1) if facts.mtime_ns > LONG_AGO_NS else facts
            for path, facts in listing(upper if direct else root).items()
        }
        shutil.rmtree(place)
        return Result(applied, error, found)


@dataclasses.dataclass
class Result:
    """What came of applying layers."""

    applied: list[tuple[str, int]]
    error: str
    files: dict[str, Facts]


@pytest.fixture(scope="module")
def pair(session_base: Path) -> Iterator[Pair]:
    base = session_base / "beside"
    with (
        Daemon.start(STOCK, base / "d") as daemon,
        over_socket(daemon.address) as asker,
        asyncio.Runner() as runner,
    ):
        ours = Ours(runner, base / "s")
        (base / "t").mkdir()
        yield Pair(Stock(daemon, asker), ours, base / "t")
        ours.close()
        end_spawners(base / "s")
    shutil.rmtree(base, ignore_errors=True)


CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".decode("latin-1")
"""cap_net_raw as a file has it."""

USUAL = [
    directory("etc/", 0o755),
    Member("etc/passwd", data=b"root:x:0:0\n", mode=0o644),
    Member("etc/shadow", data=b"secret", mode=0o640, gid=42),
    directory("tmp", 0o1777),
    directory("var/mail", 0o2775, uid=8, gid=8),
    Member("var/mail/inherits", data=b"x"),
    directory("var/mail/below"),
    Member("usr/bin/su", data=b"\x7fELF", mode=0o4755),
    Member("usr/bin/wall", data=b"\x7fELF", mode=0o2755, gid=5),
    hardlink("usr/bin/su2", "usr/bin/su"),
    symlink("bin", "usr/bin"),
    Member("bin/through-a-link", data=b"1"),
    symlink("usr/bin/dangling", "/nowhere"),
    hardlink("usr/bin/dangling2", "usr/bin/dangling"),
    Member("pipe", FIFO, mode=0o620, uid=3),
    Member("ids/wrap", uid=(1 << 32) + 5, gid=(1 << 40) + 6),
    Member("ids/none", uid=(1 << 32) - 1, gid=-1),
    Member("ids/minus-two", uid=-2, gid=7),
    Member("with-attributes", data=b"a", pax=(("SCHILY.xattr.user.one", "1"), ("SCHILY.xattr.trusted.two", "2"))),
    Member("capable", data=b"c", mode=0o755, uid=1, pax=(("SCHILY.xattr.security.capability", CAPABILITY),)),
    Member("no-time", mtime=-1),
    Member("late", mtime=1e11),
    Member("times", mtime=1_600_000_000.25, pax=(("atime", "1700000000.5"),)),
    Member("dev/null", tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
    Member("dev/loop", tarfile.BLKTYPE, mode=0o660, gid=6, device=(7, 0)),
    Member("a" * 90 + "/" + "b" * 150 + "/" + "c" * 200, data=b"long"),
    symlink("long-link", "x/" * 120),
    Member("ünïcode/\udcff", data=b"bytes"),
]


def check(both: tuple[Result, Result]) -> Result:
    """Compares two results; the common one."""
    stock, ours = both
    assert bool(ours.error) == bool(stock.error), (stock.error, ours.error)
    assert ours.applied == stock.applied
    if not ours.error:  # what lies about after a failure is for the owner of the mounts to remove
        assert ours.files == stock.files
    return ours


@pytest.mark.parametrize("direct", [False, True], ids=["bind", "overlay"])
@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_a_layer_as_archivers_write_it(pair: Pair, format_: int, direct: bool) -> None:
    result = check(pair.both([archive(USUAL, format_)], direct=direct))
    assert not result.error
    assert len(result.files) > len(USUAL)


SECOND = [
    Member("etc/.wh.shadow"),
    Member("usr/bin/.wh..wh..opq"),
    Member("usr/bin/new", data=b"new"),
    Member("var/mail/of/somebody", data=b"parents are of the layer below"),
    Member("tmp/file", data=b"x"),
    directory("late"),
    Member("late/now-a-directory", data=b"y"),
    Member("bin/behind-a-link", data=b"z"),
    symlink("ünïcode", "etc"),
    Member(".wh.pipe", uid=5),
]


@pytest.mark.parametrize("direct", [False, True], ids=["bind", "overlay"])
def test_a_layer_on_another(pair: Pair, direct: bool) -> None:
    check(pair.both([archive(USUAL), archive(SECOND)], direct=direct))


@pytest.mark.parametrize(
    ("media_type", "pack"),
    [
        (OCI, bytes),
        (f"{OCI}+gzip", gzip.compress),
        (f"{OCI}+gzip", bytes),
        (f"{OCI}+zstd", zstandard.compress),
        (f"{OCI}+zstd", gzip.compress),
        (DOCKER, bytes),
        (DOCKER, gzip.compress),
        (f"{DOCKER}.gzip", lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:])),
        (f"{DOCKER}.gzip", lambda data: zstandard.compress(data[:1000]) + zstandard.compress(data[1000:])),
        (f"{DOCKER}.zstd", lambda data: b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + zstandard.compress(data)),
        (f"{DOCKER}.gzip+encrypted", bytes),
        (f"{OCI}+gzip", lambda data: gzip.compress(data) + b"garbage"),
        (f"{OCI}+gzip", lambda data: gzip.compress(data) + bytes(512)),
        (f"{OCI}+gzip", lambda data: gzip.compress(data)[:-9]),
        (f"{OCI}+gzip", lambda data: gzip.compress(data)[:-8] + bytes(8)),
        (f"{OCI}+zstd", lambda data: zstandard.compress(data)[:-9]),
        (f"{OCI}+zstd", lambda data: zstandard.compress(data) + b"garbage"),
        (f"{OCI}+zstd", lambda data: zstandard.compress(data) + zstandard.compress(b"more")),
        (OCI, gzip.compress),
        (OCI, lambda data: data + b"trailing bytes count"),
        (OCI, lambda data: b""),
        (f"{OCI}+gzip", lambda data: b""),
        (OCI, lambda data: data[:512]),
        (OCI, lambda data: data[:700]),
        (OCI, lambda data: data[:1536]),
        ("application/octet-stream", bytes),
        ("", bytes),
        (f"{DOCKER}.xz", bytes),
    ],
)
def test_compression_and_media_types(pair: Pair, media_type: str, pack: Callable[[bytes], bytes]) -> None:
    check(pair.both([pack(archive([directory("a"), Member("a/b", data=b"b" * 5000)]))], media_type))


SPARSE = {
    "pax 0.0": ("--format=pax", "--sparse-version=0.0"),
    "pax 0.1": ("--format=pax", "--sparse-version=0.1"),
    "pax 1.0": ("--format=pax", "--sparse-version=1.0"),
}


@pytest.mark.parametrize("options", SPARSE.values(), ids=SPARSE)
def test_sparse_files(pair: Pair, scratch: Path, options: tuple[str, ...]) -> None:
    with (scratch / "sparse").open("wb") as file:
        for offset in range(30):
            file.seek(offset * 100_000)
            file.write(b"%d" % offset)
        file.truncate(5_000_000)
    command = ["tar", "-C", str(scratch), "--sparse", *options, "-cf", "-", "sparse"]
    layer = subprocess.run(command, check=True, capture_output=True).stdout
    check(pair.both([layer]))


def test_a_sparse_file_in_the_old_format_is_taken(pair: Pair, scratch: Path) -> None:
    deliberate("gnu-sparse-taken")
    with (scratch / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    command = ["tar", "-C", str(scratch), "--sparse", "--format=gnu", "-cf", "-", "sparse"]
    layer = subprocess.run(command, check=True, capture_output=True).stdout
    stock, ours = pair.both([layer])
    assert "unhandled tar header type 83" in stock.error
    assert not ours.error
    assert ours.files["sparse"].content.startswith(f"{(1 << 20) + 3} ")


def test_a_directory_that_its_layer_replaces_is_taken(pair: Pair) -> None:
    deliberate("replaced-directory-taken")
    stock, ours = pair.both([archive([directory("a/b", mtime=5), Member("a", data=b"file", mtime=7)])])
    assert "not a directory" in stock.error
    assert ours.files["a"].mtime_ns == 7 * 10**9


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(layers=st.lists(st.lists(members(), min_size=1, max_size=6), min_size=1, max_size=2), direct=st.booleans())
def test_layers_that_try_to_escape(pair: Pair, layers: list[list[Member]], direct: bool) -> None:
    stock, ours = pair.both([archive(layer) for layer in layers], direct=direct)
    if stock.error:
        deliberate("replaced-directory-taken")
        return
    assert not ours.error
    assert ours.applied == stock.applied
    assert without_quirks(ours.files, layers) == without_quirks(stock.files, layers)


def without_quirks(files: dict[str, Facts], layers: list[list[Member]]) -> dict[str, Facts]:
    """Stock gives what replaced a directory the time of that directory (`replaced-directory-taken`)."""
    if not any(member.type == DIRECTORY for layer in layers for member in layer):
        return files
    return {
        path: facts if facts.kind == "d" else dataclasses.replace(facts, mtime_ns=0) for path, facts in files.items()
    }
