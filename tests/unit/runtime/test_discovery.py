"""From a runtime's name to its shim."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.errors import Unknown
from pycontainerd.runtime.discovery import OUR_BINARY, Discovery, ShimBinary, binary_name


def executable(directory: Path, name: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("runtime", "binary"),
    [
        ("io.containerd.runc.v2", "containerd-shim-runc-v2"),
        ("io.containerd.kata.v2", "containerd-shim-kata-v2"),
        ("runc.v2", "containerd-shim-runc-v2"),
        ("a.b.c.d.e", "containerd-shim-d-e"),
    ],
)
def test_a_name_leads_to_a_binary(runtime: str, binary: str) -> None:
    assert binary_name(runtime) == binary


@pytest.mark.parametrize("runtime", ["foo", "..", ".runc.v2", "a/b", "a/b.runc.v2"])
def test_what_is_no_name_is_refused(runtime: str) -> None:
    with pytest.raises(Unknown, match="invalid runtime name"):
        Discovery((), "").resolve(runtime)


def test_our_shim_beside_the_daemon_wins_over_path(tmp_path: Path) -> None:
    own = executable(tmp_path / "own", OUR_BINARY)
    executable(tmp_path / "path", OUR_BINARY)
    discovery = Discovery([str(tmp_path / "own")], str(tmp_path / "path"))
    assert discovery.resolve("io.containerd.runc.v2") == ShimBinary(str(own), ours=True)


def test_another_shim_is_found_in_path_before_the_daemons_directory(tmp_path: Path) -> None:
    executable(tmp_path / "own", "containerd-shim-kata-v2")
    found = executable(tmp_path / "path", "containerd-shim-kata-v2")
    discovery = Discovery([str(tmp_path / "own")], str(tmp_path / "path"))
    assert discovery.resolve("io.containerd.kata.v2") == ShimBinary(str(found), ours=False)


def test_a_shim_beside_the_daemon_is_found_without_path(tmp_path: Path) -> None:
    found = executable(tmp_path / "own", "containerd-shim-kata-v2")
    discovery = Discovery([str(tmp_path / "own")], "")
    assert discovery.resolve("io.containerd.kata.v2").path == str(found)


def test_an_absolute_path_is_used_as_it_is(tmp_path: Path) -> None:
    foreign = executable(tmp_path / "path", OUR_BINARY)
    executable(tmp_path / "own", OUR_BINARY)
    discovery = Discovery([str(tmp_path / "own")], "")
    assert discovery.resolve(str(foreign)) == ShimBinary(str(foreign), ours=False)


def test_our_shim_is_known_under_another_name(tmp_path: Path) -> None:
    own = executable(tmp_path / "own", OUR_BINARY)
    link = tmp_path / "link"
    link.symlink_to(own)
    assert Discovery([str(tmp_path / "own")], "").resolve(str(link)) == ShimBinary(str(link), ours=True)


def test_a_shim_that_is_removed_is_looked_up_again(tmp_path: Path) -> None:
    first = executable(tmp_path / "a", "containerd-shim-kata-v2")
    discovery = Discovery((), f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert discovery.resolve("io.containerd.kata.v2").path == str(first)
    first.unlink()
    second = executable(tmp_path / "b", "containerd-shim-kata-v2")
    assert discovery.resolve("io.containerd.kata.v2").path == str(second)


def test_a_file_that_can_not_be_executed_is_no_shim(tmp_path: Path) -> None:
    executable(tmp_path, "containerd-shim-kata-v2").chmod(0o644)
    with pytest.raises(Unknown) as error:
        Discovery((), str(tmp_path)).resolve("io.containerd.kata.v2")
    assert error.value.message == (
        'runtime "io.containerd.kata.v2" binary not installed "containerd-shim-kata-v2": file does not exist'
    )


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(Unknown, match="no runtime name"):
        Discovery((), "").resolve("")
