"""The worker that applies a layer: what it can't do, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import os
import select
import signal
import stat
import string
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd.content.model import Digest
from pycontainerd.diff.differ import Differ
from pycontainerd.errors import NotFound, Unknown
from pycontainerd.oci.image import Descriptor
from pycontainerd.plugin.registration import StreamProcessor
from pycontainerd.spawner.aio import Spawner, readable
from pycontainerd.spawner.messages import Setting
from pycontainerd.system.libc import checked, libc
from tests.harness.differences import deliberate
from tests.harness.spawners import end_spawners
from tests.integration.diff.appliers import LAYER, NoContent, Ours, bind, overlay
from tests.unit.diff.archives import Member, archive, directory, symlink

IN_CREATE = 0x100
PROBES = "tests.integration.diff.probes:ROLES"


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def sockets(scratch: Path) -> Iterator[Path]:
    """The directory of a spawner's socket; the spawner ends with the test."""
    yield scratch / "s"
    end_spawners(scratch / "s")


@pytest.fixture
def ours(runner: asyncio.Runner, sockets: Path) -> Iterator[Ours]:
    ours = Ours(runner, sockets)
    yield ours
    ours.close()


@pytest.fixture
def root(scratch: Path) -> Path:
    root = scratch / "root"
    root.mkdir()
    return root


def test_the_answer_names_the_plain_layer(ours: Ours, root: Path) -> None:
    layer = archive([Member("a", data=b"x" * 10_000)]) + b"behind the end"
    assert ours.apply(gzip.compress(layer), bind(root), f"{LAYER}+gzip") == (str(Digest.of(layer)), len(layer))


def test_a_layer_that_plants_modules_runs_none_of_them(ours: Ours, root: Path, scratch: Path) -> None:
    """A module of the layer at every path where Python looks, or would in a root that is the layer."""
    mark = scratch / "ran"
    evil = f"open({str(mark)!r}, 'w').close()".encode()
    places = {"", *(entry.strip("/") for entry in sys.path), "usr/lib/python3.11", "usr/lib/python3/dist-packages"}
    names = [name for name in sys.stdlib_module_names if not name.startswith("_")] + ["isal", "zstandard", "encodings"]
    members = [Member(f"{place}/{name}.py".lstrip("/"), data=evil) for place in sorted(places) for name in names]
    members += [symlink("lib", "usr/lib"), Member("bad-utf8-\udcff", data=b""), Member("nul", b"?")]
    with pytest.raises(Unknown, match="unhandled tar header type 63"):
        ours.apply(archive(members), bind(root))
    ours.apply(archive(members[:-1]), bind(root))
    assert not mark.exists()
    assert (root / "usr/lib/python3.11/os.py").read_bytes() == evil


def test_device_nodes_are_made_by_the_daemon(ours: Ours, root: Path) -> None:
    null = Member("dev/null", tarfile.CHRTYPE, mode=0o666, device=(1, 3), uid=4, gid=5)
    ours.apply(archive([directory("dev"), Member("dev/null", data=b"in the way"), null]), bind(root))
    state = (root / "dev/null").stat()
    assert (stat.S_ISCHR(state.st_mode), state.st_rdev, state.st_uid) == (True, os.makedev(1, 3), 4)
    assert stat.S_IMODE(state.st_mode) == 0o666


def test_a_layer_of_too_many_devices_is_refused(ours: Ours, root: Path) -> None:
    deliberate("devices-bounded")
    layer = archive([Member(f"d{number}", tarfile.CHRTYPE, device=(1, 3)) for number in range(1100)])
    with pytest.raises(Unknown, match="d1024"):
        ours.apply(layer, bind(root))


def test_whiteouts_of_an_overlay_need_no_device_helper(ours: Ours, root: Path, scratch: Path) -> None:
    for name in ("work", "lower"):
        (scratch / name).mkdir()
    ours.apply(
        archive([Member("dir/.wh.gone"), Member("dir/.wh..wh..opq")]),
        overlay(root, scratch / "work", [scratch / "lower"]),
    )
    assert (root / "dir/gone").stat().st_rdev == 0
    assert os.getxattr(root / "dir", "trusted.overlay.opaque") == b"y"


def test_the_mount_of_a_worker_is_seen_by_nobody(ours: Ours, root: Path, scratch: Path) -> None:
    deliberate("layer-mounts-unseen")
    lower = [scratch / "one", scratch / "two"]
    for each in lower:
        each.mkdir()
        (each / f"in-{each.name}").write_text("")
    mounts = overlay(root, scratch / "work", lower)
    (scratch / "work").mkdir()
    # A second mount over the first: no single overlay, so it is mounted.
    ours.apply(archive([Member(".wh.in-one"), Member("new", data=b"1")]), [*bind(scratch), *mounts])
    assert str(scratch) not in Path("/proc/self/mountinfo").read_text()
    assert sorted(os.listdir(root)) == ["in-one", "new"]
    assert stat.S_ISCHR((root / "in-one").stat().st_mode)


def test_what_a_worker_may_not_do(
    runner: asyncio.Runner, sockets: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))

    async def ask() -> bytes:
        async with Spawner(str(sockets), roles=PROBES) as spawner:
            read, write = os.pipe()
            async with spawner.worker("probe", Setting.like_mine(), str(scratch).encode(), [write]) as worker:
                os.close(write)
                status = await worker.wait()
            with os.fdopen(read, "rb") as report:
                return b"%d %s" % (status, report.read())

    report = runner.run(ask())
    assert report.startswith(b"0 ")
    allowed = dict(line.split(b": ", 1) for line in report[2:].splitlines())
    assert allowed == {
        b"exec": b"EPERM", b"fork": b"EPERM", b"kill": b"EPERM", b"socket": b"EPERM", b"mount": b"EPERM",
        b"ptrace": b"EPERM", b"unshare": b"EPERM", b"chroot": b"EPERM", b"mknod": b"EPERM", b"ioctl": b"ENOTTY",
        b"handle": b"EPERM", b"whiteout": b"yes", b"outside": b"ENOENT", b"root": b"[]", b"write root": b"EROFS",
        b"import": b"module this was not loaded before imports were closed", b"thread": b"yes",
    }  # fmt: skip


def test_a_cancelled_call_ends_its_worker(runner: asyncio.Runner, ours: Ours, root: Path) -> None:
    read, write = os.pipe()
    layer = archive([Member(f"file{number}", data=b"z" * 300_000) for number in range(8)])

    async def cancel() -> int:
        begun = asyncio.Event()

        def progress(_: int) -> None:
            begun.set()

        async with asyncio.TaskGroup() as group:
            applying = group.create_task(
                ours.differ.apply(Descriptor(LAYER, "", 0), read, bind(root), progress=progress)
            )
            feeding = group.create_task(asyncio.to_thread(feed))
            await feeding
            await started(root)
            pids = workers()
            applying.cancel()
        return len(pids)

    def feed() -> None:
        view = memoryview(layer)[:-2_000_000]
        while view:
            view = view[os.write(write, view) :]

    assert runner.run(cancel()) == 1
    os.close(read)
    os.close(write)
    assert workers() == []


async def started(root: Path) -> None:
    """Returns when something of the layer is there."""
    watch = checked(libc.inotify_init1(os.O_CLOEXEC))
    try:
        checked(libc.inotify_add_watch(watch, os.fsencode(root), IN_CREATE))
        if not os.listdir(root):
            await readable(watch)
    finally:
        os.close(watch)


def workers() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cmdline").read_bytes() == b"containerd-worker\0apply\0":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_worker_that_is_killed_fails_the_call(runner: asyncio.Runner, ours: Ours, root: Path) -> None:
    read, write = os.pipe()
    os.write(write, archive([Member("a", data=b"z")])[:1024])

    async def apply() -> None:
        with pytest.raises(Unknown, match="status 137"):
            await ours.differ.apply(Descriptor(LAYER, "", 0), read, bind(root))

    async def kill() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(apply())
            await started(root)
            for pid in workers():
                os.kill(pid, signal.SIGKILL)

    runner.run(kill())
    os.close(read)
    os.close(write)


def test_a_bomb_is_bounded_in_memory_and_can_be_stopped(runner: asyncio.Runner, ours: Ours, root: Path) -> None:
    """64 GiB of zeros in one file on a root that takes 16 MiB."""
    small = root / "small"
    small.mkdir()
    header = tarfile.TarInfo("zeros")
    header.size = 64 << 30
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(header.tobuf(tarfile.GNU_FORMAT)) + packer.compress(bytes(64 << 20))
    bomb += packer.flush(zlib.Z_FULL_FLUSH)
    mounts = [*bind(small)]
    os.system(f"mount -t tmpfs -o size=16m tmpfs {small}")  # noqa: S605 - the test's own path
    try:
        with pytest.raises(Unknown, match=r"zeros.*no space left on device"):
            ours.apply(bomb, mounts, f"{LAYER}+gzip")
    finally:
        os.system(f"umount {small}")  # noqa: S605


def test_a_blob_that_is_not_there_is_told_before_its_media_type(runner: asyncio.Runner, ours: Ours) -> None:
    with pytest.raises(NotFound, match="failed to get reader from content store: content digest sha256:x"):
        runner.run(ours.differ.apply_content("ns", Descriptor("text/plain", "sha256:x", 1), []))


def test_a_stream_processor_comes_before_us(runner: asyncio.Runner, sockets: Path, scratch: Path, root: Path) -> None:
    script = 'test "$STREAM_PROCESSOR_MEDIATYPE" = application/rot; test "$EXTRA" = 1; cat <&3 >"$1"; tr a-z b-za'
    command = ("-ec", f"{script} | gzip", "sh", f"{scratch}/payload")
    processors = {
        "rot": StreamProcessor(("application/rot",), f"{LAYER}+gzip", "/bin/sh", command, ("EXTRA=1",)),
        "fails": StreamProcessor(("application/broken",), LAYER, "/bin/sh", ("-c", "echo no key >&2; exit 3")),
    }
    letters = string.ascii_lowercase.encode()
    layer = archive([Member("q", data=b"1")]).translate(bytes.maketrans(letters, letters[-1:] + letters[:-1]))

    async def apply(media_type: str) -> Descriptor:
        async with Spawner(str(sockets)) as spawner:
            differ = Differ(spawner, NoContent(), processors)
            with (scratch / "layer").open("wb+") as file:
                file.write(layer)
                file.seek(0)
                return await differ.apply(
                    Descriptor(media_type, "", 0), file.fileno(), bind(root), payloads={"rot": b"key"}
                )

    assert runner.run(apply("application/rot")).media_type == LAYER
    assert (root / "q").read_bytes() == b"1"
    assert (scratch / "payload").read_bytes() == b"key"
    with pytest.raises(Unknown, match=r"^no key$"):
        runner.run(apply("application/broken"))


def test_a_chain_of_processors_that_cannot_start_leaves_nothing_open(
    runner: asyncio.Runner, sockets: Path, root: Path
) -> None:
    processors = {
        "first": StreamProcessor(("application/x",), "application/y", "/bin/cat", ()),
        "absent": StreamProcessor(("application/y",), LAYER, "/no/such/program", ()),
    }

    async def apply() -> None:
        async with Spawner(str(sockets)) as spawner:
            differ = Differ(spawner, NoContent(), processors)
            with (root / "blob").open("wb+") as blob:
                for _ in range(2):
                    before = set(os.listdir("/proc/self/fd"))
                    with pytest.raises(Unknown, match="/no/such/program: No such file or directory"):
                        await differ.apply(Descriptor("application/x", "", 0), blob.fileno(), bind(root))
                    assert set(os.listdir("/proc/self/fd")) == before

    runner.run(apply())


DAEMON = """
import asyncio, os, sys
from pathlib import Path
from pycontainerd.mounts.model import Mount
from pycontainerd.diff.differ import Differ
from pycontainerd.oci.image import Descriptor
from pycontainerd.spawner.aio import Spawner

async def main():
    async with Spawner(sys.argv[1]) as spawner:
        read, write = os.pipe()
        os.write(write, Path(sys.argv[2]).read_bytes()[:1024])
        print("applying", flush=True)
        await Differ(spawner, None, {}).apply(
            Descriptor("application/vnd.oci.image.layer.v1.tar", "", 0),
            read,
            [Mount("bind", sys.argv[3], "", ("rbind",))],
        )

asyncio.run(main())
"""


def test_a_worker_ends_with_its_daemon(runner: asyncio.Runner, sockets: Path, scratch: Path, root: Path) -> None:
    (scratch / "layer").write_bytes(archive([Member("a", data=b"z")]))
    command = [sys.executable, "-c", DAEMON, str(sockets), str(scratch / "layer"), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        runner.run(started(root))
        (worker,) = [os.pidfd_open(pid) for pid in workers()]
        daemon.kill()
        assert select.select([worker], [], [], 30)[0] == [worker]
        os.close(worker)
    assert workers() == []


def test_progress_and_sync(runner: asyncio.Runner, ours: Ours, root: Path, scratch: Path) -> None:
    (scratch / "layer").write_bytes(archive([Member("large", data=bytes(10 << 20))]))
    heard: list[int] = []

    async def apply() -> None:
        with (scratch / "layer").open("rb") as file:
            await ours.differ.apply(
                Descriptor(LAYER, "", 0), file.fileno(), bind(root), sync_fs=True, progress=heard.append
            )

    runner.run(apply())
    assert heard == sorted(heard)
    assert len(heard) == 2
    assert heard[0] >= 4 << 20
