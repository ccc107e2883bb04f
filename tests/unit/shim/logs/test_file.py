"""Log files: appended to, begun anew, and honest about what a full disk took."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.errors import Unknown
from pycontainerd.shim.logs.file import LogFile
from pycontainerd.shim.logs.target import LogTarget

LINE = b"2026-11-24T07:46:57.000000001Z stdout F 0123456789\n"


@pytest.fixture
def told() -> list[str]:
    return []


def opened(path: Path, told: list[str], **options: int) -> LogFile:
    return LogFile(LogTarget(str(path), **options), told.append)


def test_the_file_and_its_directories_are_made(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "deep" / "er" / "c.log"
    opened(path, told).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_what_is_there_is_appended_to(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    path.write_bytes(b"before\n")
    file = opened(path, told)
    file.write(LINE)
    file.close()
    assert path.read_bytes() == b"before\n" + LINE


def test_a_torn_line_is_not_appended_to(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    torn = LINE[:-7]
    path.write_bytes(LINE + torn)
    file = opened(path, told, max_size=3 * len(LINE) - 7 + 1, max_files=2)
    file.write(LINE)
    file.write(LINE)
    file.close()
    assert ((tmp_path / "c.log.1").read_bytes(), path.read_bytes()) == (LINE + torn + b"\n" + LINE, LINE)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_a_regular_file_is_a_log(tmp_path: Path, told: list[str], make: type) -> None:
    path = tmp_path / "c.log"
    make(path)
    with pytest.raises(Unknown, match=f'opening log file "{path}" failed'):
        opened(path, told)


def test_a_file_that_was_moved_away_is_begun_anew_when_asked(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told)
    file.write(LINE)
    path.rename(tmp_path / "moved")
    file.write(LINE)
    file.reopen()
    file.write(LINE)
    file.close()
    assert ((tmp_path / "moved").read_bytes(), path.read_bytes()) == (LINE * 2, LINE)


def test_a_file_that_can_not_be_begun_anew_goes_on(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "logs" / "c.log"
    file = opened(path, told)
    path.parent.rename(tmp_path / "moved")
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(Unknown, match="opening log file"):
        file.reopen()
    file.write(LINE)
    file.close()
    assert (tmp_path / "moved" / "c.log").read_bytes() == LINE


def test_files_stay_below_their_size_and_number(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told, max_size=3 * len(LINE) + 1, max_files=3)
    numbered = [LINE.replace(b"0123456789", b"%010d" % number) for number in range(20)]
    file.write(b"".join(numbered[:11]))
    for line in numbered[11:]:
        file.write(line)
    file.close()
    found = [(tmp_path / name).read_bytes() for name in ("c.log.2", "c.log.1", "c.log")]
    assert b"".join(found) == b"".join(numbered[12:])
    assert len(os.listdir(tmp_path)) == 3
    assert told == []


def test_one_file_only_is_begun_anew_in_its_place(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told, max_size=2 * len(LINE), max_files=1)
    file.write(LINE * 5)
    file.close()
    assert path.read_bytes() == LINE
    assert os.listdir(tmp_path) == ["c.log"]


def test_a_record_larger_than_a_file_may_be_is_written_whole(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told, max_size=10, max_files=2)
    file.write(LINE + LINE)
    file.close()
    assert (tmp_path / "c.log.1").read_bytes() == path.read_bytes() == LINE


def test_files_that_can_not_be_moved_grow(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    (tmp_path / "c.log.1").mkdir()
    (tmp_path / "c.log.1" / "in the way").touch()
    file = opened(path, told, max_size=2 * len(LINE), max_files=2)
    file.write(LINE * 5)
    file.close()
    assert path.read_bytes() == LINE * 5
    assert all("can't be begun anew" in each for each in told)
    assert len(told) == 2


@pytest.fixture
def refuses_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """When called, the next file is not opened."""
    opens = os.open

    def refuse(*arguments: Any, **options: Any) -> int:
        monkeypatch.setattr(os, "open", opens)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    return lambda: monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize(("max_files", "names"), [(1, ["c.log"]), (3, ["c.log", "c.log.1", "c.log.2"])])
def test_a_new_file_that_could_not_be_opened_once_is_opened_the_next_time(
    tmp_path: Path, told: list[str], refuses_once: Callable[[], None], max_files: int, names: list[str]
) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told, max_size=2 * len(LINE), max_files=max_files)
    file.write(LINE * 4)
    refuses_once()
    file.write(LINE * 2)
    assert not path.exists()
    file.write(LINE)
    assert path.read_bytes() == LINE
    assert [each.removeprefix(f"log {path}: ") for each in told] == [
        f'can\'t be begun anew: opening log file "{path}" failed: Too many open files'
    ]
    file.write(LINE * 10)
    file.close()
    assert sorted(os.listdir(tmp_path)) == names
    assert all((tmp_path / name).stat().st_size <= 2 * len(LINE) for name in names)
    assert len(told) == 1


def test_older_files_stay_while_a_new_one_can_not_be_opened(
    tmp_path: Path, told: list[str], refuses_once: Callable[[], None]
) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told, max_size=len(LINE), max_files=3)
    numbered = [LINE.replace(b"0123456789", b"%010d" % number) for number in range(5)]
    file.write(b"".join(numbered[:2]))
    for line in numbered[2:4]:
        refuses_once()
        file.write(line)
    file.write(numbered[4])
    file.close()
    found = [(tmp_path / name).read_bytes() for name in ("c.log.2", "c.log.1", "c.log")]
    assert b"".join(found) == b"".join(numbered)


def test_a_file_that_somebody_moved_away_is_begun_anew_at_its_size(tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "c.log"
    file = opened(path, told, max_size=2 * len(LINE), max_files=2)
    file.write(LINE)
    path.rename(tmp_path / "moved")
    file.write(LINE * 2)
    file.close()
    assert ((tmp_path / "moved").read_bytes(), path.read_bytes()) == (LINE * 2, LINE)
    assert told == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mountpoint = tmp_path / "small"
    mountpoint.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", mountpoint], check=True)
    yield mountpoint
    subprocess.run(["umount", mountpoint], check=True)


def test_what_a_full_disk_refuses_is_lost_and_said_to_be(small_disk: Path, told: list[str]) -> None:
    path, ballast = small_disk / "c.log", small_disk / "ballast"
    ballast.write_bytes(bytes(48 << 10))
    file = opened(path, told)
    file.write(LINE * 1000)
    kept = path.read_bytes()
    assert kept == LINE * (len(kept) // len(LINE))
    file.write(LINE)
    ballast.unlink()
    file.write(LINE)
    file.close()
    missing = 1001 - len(kept) // len(LINE)
    said, after = path.read_bytes()[len(kept) :].splitlines(keepends=True)
    assert said.endswith(b" stderr F pycontainerd: %d records are missing here: no space left on device\n" % missing)
    assert after == LINE
    assert [each.removeprefix(f"log {path}: ") for each in told] == [
        "no space left on device: output is lost from now on",
        f"{missing} records are missing here: no space left on device",
    ]


def test_what_is_missing_at_the_end_is_said_as_well(small_disk: Path, told: list[str]) -> None:
    path, ballast = small_disk / "c.log", small_disk / "ballast"
    ballast.write_bytes(bytes(48 << 10))
    file = opened(path, told)
    file.write(LINE * 1000)
    ballast.unlink()
    file.close()
    assert b"records are missing here" in path.read_bytes().splitlines()[-1]
