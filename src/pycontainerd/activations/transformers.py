"""What is done to a mount before it is mounted: `format` fills it in, `mkfs` and `mkdir` make what it needs.

`mkfs` and `mkdir` work only below the roots that they are given: that of the daemon, and that of the activations. No
link leads them out. Everything here blocks the calling thread.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Self

from msgspec import Struct

from pycontainerd.activations.model import Active
from pycontainerd.activations.template import filled
from pycontainerd.errors import InvalidArgument, Unimplemented, Unknown
from pycontainerd.mounts.model import Mount
from pycontainerd.quoting import quote
from pycontainerd.system import output
from pycontainerd.system.openat2 import RESOLVE_BENEATH, openat2

_MKFS: Final = "X-containerd.mkfs."
_MKDIR: Final = "X-containerd.mkdir."
_FILE_SYSTEMS: Final = ("ext2", "ext3", "ext4", "xfs")
_FILE_MODE: Final = 0o640
_UNITS: Final = {unit: 1024**power for power, unit in enumerate("kmgtp", start=1)}
_ID: Final = re.compile(r"\d+")

Transform = Callable[[Mount, Sequence[Active]], Mount]


def transformers(roots: Sequence[str]) -> Mapping[str, Transform]:
    """The transformers by name; *roots* are where files and directories may be made."""
    return {
        "format": formatted,
        "mkfs": lambda mount, _: with_file_system(mount, roots),
        "mkdir": lambda mount, _: with_directories(mount, roots),
    }


def formatted(mount: Mount, mounted: Sequence[Active]) -> Mount:
    """Source, target and options filled in with what was *mounted* before. Raises Unknown."""
    return Mount(
        mount.type,
        filled(mount.source, mounted),
        filled(mount.target, mounted),
        tuple(filled(option, mounted) for option in mount.options),
    )


class _FileSystem(Struct):
    """What the options of `mkfs` say; *size* in bytes."""

    size: int = 0
    type: str = "ext4"
    uuid: str = ""


def with_file_system(mount: Mount, roots: Sequence[str]) -> Mount:
    """Makes the file that is the source, with a file system in it, unless there is one.

    Raises InvalidArgument for its options, Unimplemented outside of *roots*, Unknown if it can't be made.
    """
    wanted, kept = _FileSystem(), []
    for option in mount.options:
        if option.startswith(_MKFS):
            _set(wanted, option)
        else:
            kept.append(option)
    place = _Place.of(mount.source, roots, "mkfs")
    if not wanted.size:
        raise InvalidArgument("mkfs requires mkfs.size option")
    if wanted.type not in _FILE_SYSTEMS:
        raise InvalidArgument(f"unsupported filesystem {quote(wanted.type)}")
    with place.opened("create file", "openat") as directory:
        if place.stat(directory) is None:
            _make_file(directory, place, wanted)
    return Mount(mount.type, mount.source, mount.target, tuple(kept))


def _set(wanted: _FileSystem, option: str) -> None:
    key, equals, value = option.removeprefix(_MKFS).partition("=")
    match key if equals else "":
        case "size":
            wanted.size = _size(value)
        case "fs":
            wanted.type = value
        case "uuid":
            wanted.uuid = value
        case _:
            raise InvalidArgument(f"unknown mount option {key if equals else option}")


def _size(text: str) -> int:
    """Bytes, as `1.5GiB` says them, in powers of 1,024. Raises Unknown."""
    match = re.fullmatch(r"([0-9. ]*[0-9.])? ?(.*)", text)
    number, suffix = (match[1] or "", match[2].lower()) if match else ("", "")
    try:
        value = float(number)
    except ValueError:
        raise Unknown(f"bad option size: invalid size: '{text}'") from None
    if suffix in ("", "b"):
        return int(value)
    if suffix[0] not in _UNITS or suffix[1:] not in ("", "b", "ib"):
        raise Unknown(f"bad option size: invalid suffix: '{suffix}'")
    return int(value * _UNITS[suffix[0]])


def _make_file(directory: int, place: _Place, wanted: _FileSystem) -> None:
    try:
        file = os.open(place.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE, dir_fd=directory)
    except OSError as error:
        raise place.failed("create file", "openat", error) from error
    try:
        os.fchmod(file, _FILE_MODE)
        os.ftruncate(file, wanted.size)
        _run_mkfs(place, wanted)
    except (OSError, Unknown):
        # A file without a file system would be taken for one that is ready.
        os.unlink(place.name, dir_fd=directory)
        raise
    finally:
        os.close(file)


def _run_mkfs(place: _Place, wanted: _FileSystem) -> None:
    path, program = place.path, f"mkfs.{wanted.type}"
    uuid = (["-m", f"uuid={wanted.uuid}"] if wanted.type == "xfs" else ["-U", wanted.uuid]) if wanted.uuid else []
    try:
        done = output.run([program, "-q", *uuid, place.real], merge=True)
    except OSError as error:
        raise Unknown(f"failed format {quote(path)}: {program} failed: {_words(error)}") from error
    if done.status:
        said = done.stdout.decode(errors="replace")
        raise Unknown(f"failed format {quote(path)}: {program} failed: {said}: exit status {done.status}")


class _Directory(Struct):
    """A directory that `mkdir` is to make."""

    path: str
    mode: int = 0o700
    uid: int | None = None
    gid: int | None = None


def with_directories(mount: Mount, roots: Sequence[str]) -> Mount:
    """Makes the directories that the options name.

    Raises InvalidArgument or Unknown for an option, Unimplemented outside of *roots* and for a directory that is there
    with other rights.
    """
    kept = []
    for option in mount.options:
        if option.startswith(_MKDIR):
            _make_directory(_directory(option), roots)
        else:
            kept.append(option)
    return Mount(mount.type, mount.source, mount.target, tuple(kept))


def _directory(option: str) -> _Directory:
    key, equals, value = option.removeprefix(_MKDIR).partition("=")
    path, *rest = value.split(":", 3)
    if key != "path" or not equals or len(rest) == 2:
        raise InvalidArgument(f"invalid mkdir option {quote(option)}")
    wanted = _Directory(path)
    if rest:
        wanted.mode = _mode(rest[0])
    if len(rest) == 3:
        for what, text in zip(("uid", "gid"), rest[1:], strict=True):
            if not _ID.fullmatch(text):
                raise InvalidArgument(f"invalid {what} {quote(text)}")
        wanted.uid, wanted.gid = int(rest[1]), int(rest[2])
    return wanted


def _mode(text: str) -> int:
    if not re.fullmatch(r"[0-7]+", text):
        raise Unknown(f"invalid mode {text}: strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    mode = int(text, 8)
    if mode > 0o777:
        raise Unknown(f"invalid mode {mode:o}")
    return mode


def _make_directory(wanted: _Directory, roots: Sequence[str]) -> None:
    place = _Place.of(wanted.path, roots, "mkdir")
    with place.opened("create directory", "mkdirat") as directory:
        found = place.stat(directory)
        if found is None:
            try:
                os.mkdir(place.name, wanted.mode, dir_fd=directory)
                os.chmod(place.name, wanted.mode, dir_fd=directory)
            except OSError as error:
                raise place.failed("create directory", "mkdirat", error) from error
            found = os.stat(place.name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) != wanted.mode:
            raise Unimplemented("chmod not supported yet for mkdir handler")
        if (wanted.uid, wanted.gid) not in ((None, None), (found.st_uid, found.st_gid)):
            raise Unimplemented("chown not supported yet for mkdir handler")


class _Place(Struct, frozen=True):
    """Where something may be made: *relative* to *root*. *path* is how the client wrote it."""

    path: str
    root: str
    relative: str

    @classmethod
    def of(cls, path: str, roots: Sequence[str], what: str) -> Self:
        """Raises Unimplemented if *path* is not below one of *roots*."""
        for root in roots:
            if path == root or path.startswith(f"{root}/"):
                relative = os.path.normpath("/" + path[len(root) :]).lstrip("/")
                if not relative:
                    raise Unknown(f"failed to stat {quote(path)}: statat : empty path")
                return cls(path, root, relative)
        raise Unimplemented(f"no root {quote(path)} configured for {what}")

    @property
    def name(self) -> str:
        return os.path.basename(self.relative)

    @property
    def real(self) -> str:
        return os.path.join(self.root, self.relative)

    @contextmanager
    def opened(self, doing: str, call: str) -> Iterator[int]:
        """The directory that it is in, held open. Raises Unknown if there is none, or if a link leads out."""
        top = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            parent = os.path.dirname(self.relative) or "."
            directory = openat2(top, parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, RESOLVE_BENEATH)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise self.failed("stat", "statat", "path escapes from parent") from error
            raise self.failed(doing, call, error) from error
        finally:
            os.close(top)
        try:
            yield directory
        finally:
            os.close(directory)

    def stat(self, directory: int) -> os.stat_result | None:
        """What is there, None if nothing is."""
        try:
            return os.stat(self.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def failed(self, doing: str, call: str, error: OSError | str) -> Unknown:
        words = error if isinstance(error, str) else _words(error)
        return Unknown(f"failed to {doing} {quote(self.path)}: {call} {self.relative}: {words}")


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
