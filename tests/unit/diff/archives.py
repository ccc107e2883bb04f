"""Archives for tests: members as values, built by the standard library, and trees as values to compare."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

from pycontainerd.diff.extraction import Extraction
from pycontainerd.diff.tar.reader import Pieces, Reader

DIRECTORY, REGULAR, SYMLINK, LINK, FIFO = (
    tarfile.DIRTYPE,
    tarfile.REGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
)


@dataclass(frozen=True)
class Member:
    """One member of an archive to be."""

    name: str
    type: bytes = REGULAR
    data: bytes = b""
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 1_700_000_000
    device: tuple[int, int] = (0, 0)
    pax: tuple[tuple[str, str], ...] = ()

    def info(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name)
        info.type = self.type
        info.linkname = self.link
        info.mode, info.uid, info.gid, info.mtime = self.mode, self.uid, self.gid, self.mtime
        info.devmajor, info.devminor = self.device
        info.size = len(self.data) if self.type == REGULAR else 0
        info.pax_headers = dict(self.pax)
        return info


def directory(name: str, mode: int = 0o755, *, uid: int = 0, gid: int = 0, mtime: float = 1_700_000_000) -> Member:
    return Member(name, DIRECTORY, mode=mode, uid=uid, gid=gid, mtime=mtime)


def symlink(name: str, target: str) -> Member:
    return Member(name, SYMLINK, link=target, mode=0o777)


def hardlink(name: str, target: str) -> Member:
    return Member(name, LINK, link=target)


def archive(members: Iterable[Member], format_: int = tarfile.PAX_FORMAT) -> bytes:
    """The members as a tar stream."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_, encoding="utf-8", errors="surrogateescape") as tar:
        for member in members:
            tar.addfile(member.info(), io.BytesIO(member.data))
    return buffer.getvalue()


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    """*data* cut where no header ends."""
    return (data[start : start + size] for start in range(0, len(data), size))


@dataclass
class Root:
    """A directory that layers are extracted to."""

    path: Path
    overlay: bool
    lower: list[Path] = field(default_factory=list)

    def extract(self, members: Iterable[Member]) -> Extraction:
        return self.extract_bytes(archive(members))

    def extract_bytes(self, data: bytes) -> Extraction:
        with opened([self.path, *self.lower]) as (top, *lower), umask(0):
            extraction = Extraction(top, lower=lower, overlay=self.overlay, make_device=make_device)
            extraction.run(Reader(Pieces(pieces(data))))
        return extraction

    def listing(self) -> dict[str, Facts]:
        return listing(self.path)


def make_device(directory: int, name: bytes, mode: int, device: int) -> None:
    os.mknod(name, mode, device, dir_fd=directory)


@contextmanager
def opened(paths: Iterable[Path]) -> Iterator[list[int]]:
    descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@dataclass(frozen=True)
class Facts:
    """What is known of a file without its name."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: str
    device: int
    mtime_ns: int
    attributes: tuple[tuple[str, bytes], ...]
    links: tuple[str, ...]
    """Names of the same file, this one included."""


def listing(root: Path, *, times: bool = True) -> dict[str, Facts]:
    """Every file below *root* by its path."""
    states: dict[str, os.stat_result] = {}
    for directory_, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(directory_, name)
            states[os.path.relpath(path, root)] = os.lstat(path)
    same: dict[int, list[str]] = {}
    for path, state in states.items():
        if not stat.S_ISDIR(state.st_mode):
            same.setdefault(state.st_ino, []).append(path)
    return {
        path: Facts(
            kind=stat.filemode(state.st_mode)[0],
            mode=stat.S_IMODE(state.st_mode),
            uid=state.st_uid,
            gid=state.st_gid,
            content=_content(root / path, state),
            device=state.st_rdev,
            mtime_ns=state.st_mtime_ns if times else 0,
            attributes=_attributes(root / path),
            links=tuple(sorted(same.get(state.st_ino, []))),
        )
        for path, state in sorted(states.items())
    }


def _content(path: Path, state: os.stat_result) -> str:
    if stat.S_ISLNK(state.st_mode):
        return os.readlink(path)
    if stat.S_ISREG(state.st_mode):
        return f"{state.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return ""


def _attributes(path: Path) -> tuple[tuple[str, bytes], ...]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


_PARTS = st.sampled_from(["a", "b", "c", "..", ".", "link", "dir", "", ".wh.a", ".wh..wh..opq", ".wh.", ".wh..", "ü"])
NAMES = st.lists(_PARTS, min_size=1, max_size=5).map("/".join)
TARGETS = st.one_of(
    NAMES,
    st.sampled_from(
        ["/", "..", "../..", "../canary", "/../canary", "../../../../../../../../canary", "/proc/self/root"]
    ),
)


@st.composite
def members(draw: st.DrawFn) -> Member:
    """A member that tries to be somewhere else, or in the way of another."""
    kind = draw(st.sampled_from([REGULAR, REGULAR, DIRECTORY, SYMLINK, SYMLINK, LINK, FIFO]))
    absolute = draw(st.sampled_from(["", "", "/", "../"]))
    return Member(
        absolute + draw(NAMES),
        kind,
        data=draw(st.binary(max_size=40)) if kind == REGULAR else b"",
        link=draw(TARGETS) if kind in {SYMLINK, LINK} else "",
        mode=draw(st.sampled_from([0o644, 0o755, 0o4755, 0o2775, 0o1777, 0o000])),
        uid=draw(st.sampled_from([0, 0, 1000])),
        gid=draw(st.sampled_from([0, 0, 1000])),
        mtime=draw(st.sampled_from([0, 1_700_000_000, 1_700_000_000.123456789, -5.5, 1e11])),
    )
