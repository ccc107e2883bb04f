"""Pairs of file trees, made from a plan: what a container may leave of what it began with."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
"""cap_net_raw as a file has it."""

KINDS = ("file", "directory", "link", "hard", "fifo", "character", "block", "socket")
NAMES = ("a", "b", "a.b", "a-b", "á", "n" * 99, "n" * 130, "ä" * 60)


@dataclass(frozen=True)
class Entry:
    """One name. *to* is what a link names, by position in the plan for a hard one; *time_ns* its time."""

    path: tuple[str, ...]
    kind: str
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    time_ns: int = 10**18
    capability: bool = False
    to: int = 0


Tree = tuple[Entry, ...]

entries = st.builds(
    Entry,
    path=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple),
    kind=st.sampled_from(("file", "file", "directory", "hard", *KINDS)),
    data=st.sampled_from((b"", b"x", b"y", b"z" * 511, b"z" * 512, b"z" * 70_000)),
    mode=st.sampled_from((0o644, 0o600, 0o4755, 0o2755, 0o1777, 0)),
    uid=st.sampled_from((0, 0, 1000, 2**21, 2**31)),
    gid=st.sampled_from((0, 0, 1000, 2**31)),
    time_ns=st.sampled_from((10**18, 10**18, 10**18 + 7, 10**18 + 10**9, 0, -(10**9) - 1, 2**33 * 10**9)),
    capability=st.sampled_from((False, False, False, True)),
    to=st.integers(0, 12),
)
trees = st.lists(entries, max_size=14).map(tuple)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """A tree and what became of it: entries that stay, go, change or come."""
    older = draw(trees)
    kept = tuple(entry for entry in older if draw(st.integers(0, 3)))
    return older, (*kept, *draw(trees))


def build(root: Path, tree: Tree) -> None:
    """Makes *tree* in the directory *root*. What can't be, since an earlier entry is in the way, is left out."""
    root.mkdir(parents=True)
    made: list[Path] = []
    for entry in tree:
        path = root.joinpath(*entry.path)
        if os.path.lexists(path) or not _makes_parents(root, path.parent):
            continue
        if _make(path, entry, made):
            made.append(path)
            _describe(path, entry)
    for directory, _, _ in os.walk(root, topdown=False):
        os.utime(directory, ns=(10**18, 10**18))


def _makes_parents(root: Path, parent: Path) -> bool:
    """Whether *parent* is a directory now, reached through no link."""
    place = root
    for part in parent.relative_to(root).parts:
        place /= part
        if not os.path.lexists(place):
            place.mkdir()
        elif not stat.S_ISDIR(place.lstat().st_mode):
            return False
    return True


def _make(path: Path, entry: Entry, made: list[Path]) -> bool:
    match entry.kind:
        case "file":
            path.write_bytes(entry.data)
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(f"target-{entry.to}" * (1 + 9 * (entry.to % 2)))
        case "hard":
            others = [one for one in made if not stat.S_ISDIR(one.lstat().st_mode)]
            if not others:
                return False
            os.link(others[entry.to % len(others)], path, follow_symlinks=False)
        case "fifo":
            os.mkfifo(path)
        case "character":
            os.mknod(path, stat.S_IFCHR, os.makedev(1, 3 + entry.to))
        case "block":
            os.mknod(path, stat.S_IFBLK, os.makedev(259, 70_000 + entry.to))
        case _:
            _bind(path)
    return True


def _bind(path: Path) -> None:
    """A socket: its address must be short, so it is made in its directory."""
    where = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s" * 90)
        os.rename("s" * 90, path.name)
    finally:
        os.fchdir(where)
        os.close(where)


def _describe(path: Path, entry: Entry) -> None:
    if entry.kind == "hard":
        return
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.kind != "link":
        os.chmod(path, entry.mode | (0o700 if entry.kind == "directory" else 0))
    if entry.capability and entry.kind in {"file", "directory"}:
        os.setxattr(path, "security.capability", CAPABILITY)
        os.setxattr(path, "user.note", b"not for layers")
    os.utime(path, ns=(entry.time_ns, entry.time_ns), follow_symlinks=False)
