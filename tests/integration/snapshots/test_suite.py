"""What every snapshotter must do, ours in this process and over a socket, and the stock one."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pycontainerd.api.containerd.services.snapshots import v1_pb2 as pb
from pycontainerd.errors import AlreadyExists, Error, FailedPrecondition, InvalidArgument, NotFound
from tests.harness.asking import over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.proxies.houses import SCHEDULER, Without, renamed, running
from tests.integration.snapshots.drivers import Snapshotter, in_process

PROXIED = {"overlayfs": "layers", "native": "copies"}
"""What stock calls our snapshotters."""


@pytest.fixture(scope="module")
def stock(session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(STOCK, session_base / "suite-stock") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def ours(session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(OURS, session_base / "suite-ours") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def proxied(session_base: Path) -> Iterator[Daemon]:
    """Ours, which has its snapshots from stock containerd."""
    behind = Without(STOCK, session_base / "suite-behind", STOCK, disabled=(SCHEDULER,))
    names = ("overlayfs", "native")
    config = "".join(f"[proxy_plugins.{name}]\ntype = 'snapshot'\naddress = '{behind.address}'\n" for name in names)
    disabled = tuple(f"io.containerd.snapshotter.v1.{name}" for name in names)
    ahead = Without(OURS, session_base / "suite-proxied", OURS, extra_config=config, disabled=disabled)
    with running(behind), running(ahead):
        yield ahead


@pytest.fixture(scope="module")
def serving(session_base: Path) -> Iterator[Daemon]:
    """Stock containerd, which has its snapshots from ours. It takes no proxy that is called as a plugin of its own."""
    base = session_base / "suite-served"
    module = "pycontainerd.snapshots.plugin"
    environment = {}
    for name, called in PROXIED.items():
        environment = renamed(base / "site", called, module, f"{name}_snapshotter")
    behind = Without(OURS, base / "b", OURS, environment=environment, disabled=(SCHEDULER,))
    config = "".join(
        f"[proxy_plugins.{name}]\ntype = 'snapshot'\naddress = '{behind.address}'\ncapabilities = ['rebase']\n"
        for name in PROXIED.values()
    )
    ahead = Without(STOCK, base / "f", STOCK, extra_config=config)
    with running(behind), running(ahead):
        yield ahead


@pytest.fixture(
    params=list(itertools.product(["here", "ours", "stock", "proxied", "serving"], ["overlayfs", "native"])),
    ids="-".join,
)
def snapshotter(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Snapshotter]:
    where, name = request.param
    if where == "here":
        with in_process(scratch, name) as made:
            yield made
        return
    daemon: Daemon = request.getfixturevalue(where)
    with over_socket(daemon.address) as asker:
        called = PROXIED[name] if where == "serving" else name
        yield Snapshotter(asker, called, f"suite-{scratch.name}", scratch)


def write(name: str, text: str = "text") -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


def test_layers_grow_on_one_another_and_go_in_order(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        (root / "foo").write_text("foo\n")
        (root / "a/b/c").mkdir(parents=True)

    def second(root: Path) -> None:
        assert (root / "foo").read_text() == "foo\n"
        (root / "bar").write_text("bar\n")
        (root / "foo").unlink()
        (root / "a/b/c").rmdir()

    with snapshotter.mounted(snapshotter.prepare("preparing")) as root:
        first(root)
    snapshotter.commit("committed", "preparing")
    info = snapshotter.stat("committed")
    assert (info.parent, info.kind) == ("", pb.COMMITTED)
    with pytest.raises(NotFound):
        snapshotter.stat("preparing")

    with snapshotter.mounted(snapshotter.prepare("next", "committed")) as root:
        second(root)
    assert snapshotter.stat("next").parent == "committed"
    assert snapshotter.stat("next").kind == pb.ACTIVE
    snapshotter.commit("next-committed", "next")
    assert snapshotter.stat("next-committed").parent == "committed"

    assert snapshotter.walk() == [snapshotter.stat(name) for name in ("committed", "next-committed")]
    assert snapshotter.shown("view", "next-committed") == {"bar": "bar\n"}
    with pytest.raises(FailedPrecondition, match="remove"):
        snapshotter.remove("committed")
    snapshotter.remove("next-committed")
    snapshotter.remove("committed")
    assert snapshotter.walk() == []


def test_an_active_snapshot_tells_its_state(snapshotter: Snapshotter) -> None:
    snapshotter.layer("base", "", write("f"))
    snapshotter.prepare("active", "base")
    info = snapshotter.stat("active")
    assert (info.name, info.parent, info.kind) == ("active", "base", pb.ACTIVE)
    assert info.created_at == info.updated_at


def test_parents_form_a_chain(snapshotter: Snapshotter) -> None:
    for name, parent in (("a", ""), ("b", "a"), ("c", "b")):
        snapshotter.layer(name, parent, write(name))
    assert [snapshotter.stat(name).parent for name in "cba"] == ["b", "a", ""]


def test_a_taken_key_is_refused_whatever_has_it(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("active")
    snapshotter.view("view")
    snapshotter.layer("committed", "", write("f"))
    for key in ("active", "view", "committed"):
        for make in (snapshotter.prepare, snapshotter.view):
            with pytest.raises(AlreadyExists, match=f'snapshot "{key}"'):
                make(key)
    with pytest.raises(AlreadyExists):
        snapshotter.commit("committed", "active")


def test_nothing_grows_on_what_is_missing_or_active(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("active")
    for make in (snapshotter.prepare, snapshotter.view):
        with pytest.raises(NotFound):
            make("child", "none")
        with pytest.raises(InvalidArgument):
            make("child", "active")


def test_only_an_active_snapshot_is_committed(snapshotter: Snapshotter) -> None:
    snapshotter.view("view")
    snapshotter.layer("committed", "", write("f"))
    for key in ("view", "committed"):
        with pytest.raises(FailedPrecondition, match="is not active"):
            snapshotter.commit("name", key)
    with pytest.raises(NotFound):
        snapshotter.commit("name", "none")
    with pytest.raises(FailedPrecondition, match="not active or view"):
        snapshotter.mounts("committed")
    with pytest.raises(NotFound):
        snapshotter.mounts("none")


@pytest.mark.parametrize("parent", ["", "base"])
@pytest.mark.parametrize("kind", [pb.ACTIVE, pb.VIEW, pb.COMMITTED])
def test_labels_are_updated_as_the_mask_says(snapshotter: Snapshotter, kind: pb.Kind, parent: str) -> None:
    snapshotter.layer("base", "", write("f"))
    labels = {"containerd.io/snapshot/k": "1", "plain": "2"}
    if kind == pb.VIEW:
        snapshotter.view("key", parent, labels)
    else:
        snapshotter.prepare("key" if kind == pb.ACTIVE else "active", parent, labels)
    if kind == pb.COMMITTED:
        snapshotter.commit("key", "active", labels)
    before = snapshotter.stat("key")
    assert dict(before.labels) == labels
    assert dict(snapshotter.update("key", {"plain": "3"}, "labels.plain").labels) == {**labels, "plain": "3"}
    assert dict(snapshotter.update("key", {"new": "4"}).labels) == {"new": "4"}
    after = snapshotter.update("key", {"containerd.io/snapshot/l": "5"}, "labels")
    assert dict(after.labels) == {"containerd.io/snapshot/l": "5"}
    assert after == snapshotter.stat("key")
    assert (after.kind, after.parent, after.created_at) == (before.kind, before.parent, before.created_at)
    assert after.updated_at.ToNanoseconds() > before.updated_at.ToNanoseconds()
    with pytest.raises(InvalidArgument, match='cannot update "parent" field on snapshot "key"'):
        snapshotter.update("key", {}, "parent")


def test_a_commit_carries_its_own_labels_alone(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("active", labels={"containerd.io/snapshot/a": "1", "b": "2"})
    snapshotter.commit("committed", "active", {"c": "3"})
    assert dict(snapshotter.stat("committed").labels) == {"c": "3"}


def test_children_go_before_their_parents(snapshotter: Snapshotter) -> None:
    snapshotter.layer("base", "", write("f"))
    snapshotter.layer("middle", "base", write("g"))
    snapshotter.view("view", "middle")
    snapshotter.prepare("active", "middle")
    for key in ("base", "middle"):
        with pytest.raises(FailedPrecondition, match="cannot remove snapshot with child"):
            snapshotter.remove(key)
    for key in ("view", "active", "middle", "base"):
        snapshotter.remove(key)
    with pytest.raises(NotFound):
        snapshotter.remove("base")


def test_a_walk_passes_filters(snapshotter: Snapshotter) -> None:
    snapshotter.layer("base", "", write("f"))
    snapshotter.layer("middle", "base", write("g"))
    snapshotter.view("view", "middle")
    snapshotter.prepare("active", "middle", {"a": "1", "containerd.io/snapshot/b": "2"})
    assert snapshotter.names("kind==active") == ["active"]
    assert snapshotter.names("kind==committed") == ["base", "middle"]
    assert snapshotter.names("name==base", "name==view") == ["base", "view"]
    assert snapshotter.names("parent==middle") == ["active", "view"]
    assert snapshotter.names('parent==""') == ["base"]
    assert snapshotter.names("labels.a") == ["active"]
    assert snapshotter.names('labels."containerd.io/snapshot/b"==2,kind==active') == ["active"]
    assert snapshotter.names("labels.a==9") == []
    with pytest.raises(Error, match="parse error"):
        snapshotter.names("a==")


def test_more_than_a_hundred_are_walked(snapshotter: Snapshotter) -> None:
    names = sorted(f"snapshot {number}" for number in range(205))
    for name in names:
        snapshotter.view(name)
    assert snapshotter.names() == names


def test_what_a_walk_shows_can_be_asked_and_removed_meanwhile(snapshotter: Snapshotter) -> None:
    names = {f"snapshot {number}" for number in range(205)}
    for name in names:
        snapshotter.view(name)
    for info in snapshotter.each():
        assert snapshotter.stat(info.name) == info
        snapshotter.remove(info.name)
        names.remove(info.name)
    assert names == set()


def test_a_file_of_a_lower_layer_changes_in_the_upper(snapshotter: Snapshotter) -> None:
    def change(root: Path) -> None:
        (root / "f").write_text("changed")
        (root / "f").chmod(0o711)

    snapshotter.layer("l1", "", write("f", "original"))
    snapshotter.layer("l2", "l1", change)
    assert snapshotter.shown("v1", "l1") == {"f": "original"}
    with snapshotter.mounted(snapshotter.view("v2", "l2")) as root:
        assert (root / "f").read_text() == "changed"
        assert stat.S_IMODE((root / "f").stat().st_mode) == 0o711


def test_a_directory_that_was_removed_and_made_again_is_empty(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        (root / "d").mkdir()
        (root / "d/old").write_text("old")

    def second(root: Path) -> None:
        shutil.rmtree(root / "d")
        (root / "d").mkdir()
        (root / "d/new").write_text("new")

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", second)
    assert snapshotter.shown("v", "l2") == {"d/new": "new"}


def test_owners_and_modes_stay_in_their_layer(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        (root / "d").mkdir(mode=0o700)
        (root / "d/f").write_text("f")

    def second(root: Path) -> None:
        os.chown(root / "d", 1, 2)
        os.chown(root / "d/f", 3, 4)
        (root / "d").chmod(0o1777)

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", second)
    for parent, expected in (("l1", (0, 0, 0, 0, 0o700)), ("l2", (1, 2, 3, 4, 0o1777))):
        with snapshotter.mounted(snapshotter.view(f"v-{parent}", parent)) as root:
            directory, file = (root / "d").stat(), (root / "d/f").stat()
            found = (directory.st_uid, directory.st_gid, file.st_uid, file.st_gid, stat.S_IMODE(directory.st_mode))
            assert found == expected


def test_directories_keep_owner_and_mode_however_they_got_into_the_layer(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        for number in range(1, 6):
            (root / f"d{number}/e").mkdir(parents=True)
            (root / f"d{number}/f").write_text("f")
            (root / f"d{number}").chmod(0o700)
            os.chown(root / f"d{number}", number, number)

    def second(root: Path) -> None:
        os.chown(root / "d1", 11, 12)
        shutil.rmtree(root / "d2")
        (root / "d2").mkdir(mode=0o711)
        (root / "d3/f").write_text("changed")
        (root / "d4").chmod(0o2770)
        (root / "d5/e").rmdir()

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", second)
    snapshotter.layer("l3", "l2", write("other"))
    with snapshotter.mounted(snapshotter.view("v", "l3")) as root:
        states = [(root / f"d{number}").stat() for number in range(1, 6)]
    assert [(state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) for state in states] == [
        (11, 12, 0o700),
        (0, 0, 0o711),
        (3, 3, 0o700),
        (4, 4, 0o2770),
        (5, 5, 0o700),
    ]


def test_deleted_files_are_gone_in_the_child_alone(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        (root / "a").write_text("a")
        (root / "b").symlink_to("a")

    def second(root: Path) -> None:
        (root / "a").unlink()
        (root / "b").unlink()

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", second)
    with snapshotter.mounted(snapshotter.view("v1", "l1")) as root:
        assert sorted(os.listdir(root)) == ["a", "b"]
    with snapshotter.mounted(snapshotter.view("v2", "l2")) as root:
        assert os.listdir(root) == []


def test_files_of_a_lower_layer_can_be_moved_linked_and_replaced(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        (root / "dir").mkdir()
        (root / "dir/moved").write_text("moved")
        (root / "linked").write_text("linked")
        (root / "over").write_text("over")

    def second(root: Path) -> None:
        (root / "dir/moved").rename(root / "away")
        os.link(root / "linked", root / "link")
        (root / "linked").unlink()
        (root / "new").write_text("new")
        (root / "new").rename(root / "over")

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", second)
    assert snapshotter.shown("v", "l2") == {"away": "moved", "link": "linked", "over": "new"}


def test_hard_links_stay_links(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        (root / "d").mkdir()
        (root / "d/a").write_text("a")
        os.link(root / "d/a", root / "b")

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", write("c"))
    with snapshotter.mounted(snapshotter.view("v", "l2")) as root:
        assert (root / "d/a").stat().st_ino == (root / "b").stat().st_ino


def test_special_files_and_attributes_survive(snapshotter: Snapshotter) -> None:
    def first(root: Path) -> None:
        os.mkfifo(root / "pipe", 0o640)
        os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (root / "f").write_text("f")
        os.setxattr(root / "f", "user.key", b"value")
        os.utime(root / "f", ns=(10**18 + 5, 10**18 + 7))
        (root / "link").symlink_to("/nowhere")
        os.chown(root / "link", 7, 8, follow_symlinks=False)

    snapshotter.layer("l1", "", first)
    snapshotter.layer("l2", "l1", write("other"))
    with snapshotter.mounted(snapshotter.view("v", "l2")) as root:
        assert stat.S_ISFIFO((root / "pipe").stat().st_mode)
        assert (root / "null").stat().st_rdev == os.makedev(1, 3)
        assert os.getxattr(root / "f", "user.key") == b"value"
        assert (root / "f").stat().st_mtime_ns == 10**18 + 7
        assert os.readlink(root / "link") == "/nowhere"
        assert (root / "link").lstat().st_uid == 7


def test_a_view_cannot_be_written(snapshotter: Snapshotter) -> None:
    snapshotter.layer("l1", "", write("f"))
    snapshotter.layer("l2", "l1", write("g"))
    for parent in ("", "l1", "l2"):
        with snapshotter.mounted(snapshotter.view(f"v-{parent}", parent)) as root:
            with pytest.raises(OSError, match="Read-only") as refused:
                (root / "x").write_text("x")
            assert refused.value.errno == errno.EROFS


def test_the_root_can_be_entered_by_all(snapshotter: Snapshotter) -> None:
    snapshotter.layer("l1", "", write("f"))
    for mounts in (snapshotter.prepare("a"), snapshotter.prepare("b", "l1"), snapshotter.view("c", "l1")):
        with snapshotter.mounted(mounts) as root:
            assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_a_hundred_and_twenty_eight_layers_are_one(snapshotter: Snapshotter) -> None:
    parent = ""
    for number in range(128):
        name = f"layer {number}"
        snapshotter.layer(name, parent, write(f"f{number % 40}", str(number)))
        parent = name
    shown = snapshotter.shown("view", parent)
    assert shown == {f"f{number % 40}": str(number) for number in range(88, 128)}


def test_usage_leaves_the_parents_out(snapshotter: Snapshotter) -> None:
    snapshotter.layer("l1", "", write("f", "x" * 100_000))
    base = snapshotter.usage("l1")
    assert base.inodes == 2
    snapshotter.view("view", "l1")
    assert snapshotter.usage("view") == pb.UsageResponse()
    with pytest.raises(NotFound):
        snapshotter.usage("none")


def test_a_snapshot_without_a_parent_gets_one_when_it_is_committed(snapshotter: Snapshotter) -> None:
    snapshotter.layer("base", "", write("f"))
    snapshotter.prepare("active")
    with pytest.raises(NotFound, match="parent snapshot none does not exist"):
        snapshotter.commit("name", "active", parent="none")
    snapshotter.prepare("other")
    with pytest.raises(FailedPrecondition, match="is not committed"):
        snapshotter.commit("name", "active", parent="other")
    snapshotter.commit("name", "active", parent="base")
    assert snapshotter.stat("name").parent == "base"
    snapshotter.prepare("second", "base")
    snapshotter.commit("kept", "second", parent="none")
    assert snapshotter.stat("kept").parent == "base"


def test_files_belong_to_whom_the_labels_say_where_ids_are_mapped(snapshotter: Snapshotter) -> None:
    labels = {"containerd.io/snapshot/uidmapping": "0:1000:70000", "containerd.io/snapshot/gidmapping": "0:2000:70000"}
    mapped = (1000, 2000) if snapshotter.name in ("overlayfs", "layers") else (0, 0)

    def owner(path: Path) -> tuple[int, int]:
        found = path.stat()
        return found.st_uid, found.st_gid

    snapshotter.layer("l1", "", write("f"))
    snapshotter.layer("l2", "l1", write("g"))
    for key, mounts in (("a", snapshotter.prepare("a", "l2", labels)), ("v", snapshotter.view("v", "l1", labels))):
        assert mounts == snapshotter.mounts(key)
        with snapshotter.mounted(mounts) as root:
            assert owner(root) == owner(root / "f") == mapped
    with snapshotter.mounted(snapshotter.mounts("a")) as root:
        (root / "f").write_text("changed")
        os.chown(root / "f", *mapped)
    snapshotter.commit("c", "a")
    with snapshotter.mounted(snapshotter.view("unmapped", "c")) as root:
        assert owner(root / "f") == mapped
        assert owner(root / "g") == (0, 0)


def test_a_target_that_exists_is_told_instead_of_prepared(snapshotter: Snapshotter) -> None:
    snapshotter.layer("target", "", write("f"))
    label = {"containerd.io/snapshot.ref": "target"}
    for make in (snapshotter.prepare, snapshotter.view):
        with pytest.raises(AlreadyExists, match='target snapshot "target"'):
            make("key", "", label)
    with pytest.raises(NotFound):
        snapshotter.stat("key")
    snapshotter.prepare("key", "", {"containerd.io/snapshot.ref": "other"})
    assert dict(snapshotter.stat("key").labels) == {"containerd.io/snapshot.ref": "other"}


def test_names_may_be_any_text(snapshotter: Snapshotter) -> None:
    name = "sha256:a/../b c\n'\"é" + "x" * 1000
    snapshotter.layer(name, "", write("f"))
    assert snapshotter.shown("view", name) == {"f": "text"}


def test_empty_names_are_refused(snapshotter: Snapshotter) -> None:
    with pytest.raises(Error, match=r"^key required$"):
        snapshotter.prepare("")
    snapshotter.prepare("active")
    with pytest.raises(Error, match=r"^key required$"):
        snapshotter.commit("", "active")
    with pytest.raises(InvalidArgument):
        snapshotter.update("", {})
