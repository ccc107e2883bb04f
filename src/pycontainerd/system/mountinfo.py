"""What is mounted where; see proc_pid_mountinfo(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct


class MountInfo(Struct, frozen=True):
    """One line of mountinfo."""

    id: int
    parent: int
    root: str
    mount_point: str
    options: str
    propagation: str
    type: str
    source: str
    super_options: str


def read_mountinfo(path: str = "/proc/self/mountinfo") -> Iterator[MountInfo]:
    """The mounts of a process in the order in which they were made."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            yield parse_line(line)


def parse_line(line: str) -> MountInfo:
    """One line as a value; octal escapes are resolved."""
    left, _, right = line.rstrip("\n").partition(" - ")
    fields = left.split(" ")
    type_, source, super_options = ([*right.split(" ", 2), "", ""])[:3]
    return MountInfo(
        int(fields[0]),
        int(fields[1]),
        _unescaped(fields[3]),
        _unescaped(fields[4]),
        fields[5],
        " ".join(fields[6:]),
        type_,
        _unescaped(source),
        super_options,
    )


def mounts_below(directory: str) -> list[str]:
    """The mount points at and below *directory* (absolute, without links), the last one first."""
    prefix = directory.rstrip("/") + "/"
    points = [
        info.mount_point
        for info in read_mountinfo()
        if info.mount_point == directory or info.mount_point.startswith(prefix)
    ]
    return sorted(dict.fromkeys(reversed(points)), key=len, reverse=True)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text) if "\\" in text else text
