"""What the options of a mount mean."""

from __future__ import annotations

import pytest

from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.mounts import Mount, model
from pycontainerd.mounts.mounting import compact
from pycontainerd.system import mount as kernel


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (["ro"], kernel.MS_RDONLY),
        (["ro", "rw"], 0),
        (["rbind"], kernel.MS_BIND | kernel.MS_REC),
        (["nosuid", "nodev", "noexec", "suid"], kernel.MS_NODEV | kernel.MS_NOEXEC),
        (["noatime", "atime", "relatime", "norelatime", "strictatime"], kernel.MS_STRICTATIME),
        (["remount", "sync", "dirsync", "mand", "async", "nomand"], kernel.MS_REMOUNT | kernel.MS_DIRSYNC),
    ],
)
def test_flags_are_set_and_cleared_in_order(options: list[str], flags: int) -> None:
    assert model.Options.parse(options).flags == flags


def test_what_is_no_flag_is_data_in_its_order() -> None:
    parsed = model.Options.parse(["size=1m", "ro", "defaults", "mode=0755"])
    assert parsed.data == ("size=1m", "defaults", "mode=0755")


def test_orders_to_us_are_taken_out() -> None:
    parsed = model.Options.parse(["loop", "direct-io", "uidmap=0:1:2", "gidmap=0:3:4", "errors=panic"])
    assert (parsed.loop, parsed.direct_io, parsed.uid_map, parsed.gid_map) == (True, True, "0:1:2", "0:3:4")
    assert parsed.data == ("errors=panic",)


def test_direct_io_is_data_without_a_loop() -> None:
    assert model.Options.parse(["direct-io"]).data == ("direct-io",)


def test_propagation_is_apart() -> None:
    parsed = model.Options.parse(["rbind", "rslave"])
    assert (parsed.flags, parsed.propagation) == (kernel.MS_BIND | kernel.MS_REC, kernel.MS_SLAVE | kernel.MS_REC)


def test_an_option_of_the_mount_manager_is_refused() -> None:
    with pytest.raises(Unknown, match=r'"X-containerd\.mkdir\.path=/x" was not consumed by the mount manager'):
        model.Options.parse(["ro", "X-containerd.mkdir.path=/x"])


@pytest.mark.parametrize("text", ["", "0:1", "a:b:c", "0:1:2,", "-1:0:1", "0:1:2:3"])
def test_an_id_mapping_has_three_numbers(text: str) -> None:
    with pytest.raises(InvalidArgument):
        model.parse_id_map(text)


def test_id_mappings_are_read() -> None:
    assert model.parse_id_map("0:1000:1,1:2000:65535") == (model.IdRange(0, 1000, 1), model.IdRange(1, 2000, 65535))


OVERLAY = Mount(
    "overlay",
    "overlay",
    options=("workdir=/w", "upperdir=/u", "lowerdir=/a:/b", "volatile", "index=off", "uidmap=0:1:1"),
)


def test_a_read_only_overlay_has_its_upper_directory_on_top() -> None:
    assert model.read_only([OVERLAY])[0].options == ("lowerdir=/u:/a:/b", "index=off")


def test_a_read_only_bind_says_so() -> None:
    assert model.read_only([Mount("bind", "/x", options=("rbind", "rw"))])[0].options == ("rbind", "ro")


def test_a_temporary_mount_is_never_volatile() -> None:
    assert "volatile" not in model.without_volatile([OVERLAY])[0].options


def test_lower_directories_become_relative_to_what_they_share() -> None:
    directory, options = compact(["upperdir=/s/9/fs", "lowerdir=/s/3/fs:/s/2/fs:/s/1/fs", "index=off"])
    assert (directory, options) == ("/s", ["upperdir=/s/9/fs", "lowerdir=3/fs:2/fs:1/fs", "index=off"])


@pytest.mark.parametrize("lower", ["/a:/b", "relative:/a/b", "/x/a:/y/b"])
def test_without_a_shared_directory_nothing_is_gained(lower: str) -> None:
    assert compact([f"lowerdir={lower}"]) == (None, [f"lowerdir={lower}"])
