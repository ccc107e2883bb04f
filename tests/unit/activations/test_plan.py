"""How far mounts must be mounted, and what transformers make of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pycontainerd.activations.model import Active, plan
from pycontainerd.activations.template import filled
from pycontainerd.activations.transformers import with_directories, with_file_system
from pycontainerd.errors import Error, InvalidArgument, Unimplemented, Unknown
from pycontainerd.mounts.model import Mount

KNOWN = {"transformers": ("format", "mkfs", "mkdir"), "handlers": ("loop", "erofs")}
MOUNTED = [Active(Mount("tmpfs", f"s{n}", f"t{n}"), f"/m/{n}", 0) for n in range(3)]


def count(*types: str, temporary: bool = False, allowed: tuple[str, ...] = ()) -> int | None:
    """How many of mounts of these types are ours; None if there is nothing to do."""
    try:
        return plan([Mount(type_, "") for type_ in types], **KNOWN, temporary=temporary, allowed=allowed).count
    except Unimplemented:
        return None


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), None),
        (("tmpfs", "bind"), None),
        (("foo/bind", "foo/format/bind"), None),
        (("format",), None),
        (("erofs",), 1),
        (("bind", "erofs", "overlay"), 2),
        (("format/overlay",), 0),
        (("bind", "format/overlay"), 1),
        (("erofs", "erofs", "format/mkdir/overlay"), 2),
        (("format/overlay", "erofs"), 2),
        (("format/overlay", "bind"), 0),
        (("mkfs/loop", "format/ext4"), 1),
        (("format/foo/bind",), 0),
    ],
)
def test_all_before_the_last_that_needs_us_is_ours(types: tuple[str, ...], expected: int | None) -> None:
    assert count(*types) == expected


@pytest.mark.parametrize(("types", "expected"), [((), None), (("bind",), 1), (("erofs", "format/overlay"), 2)])
def test_all_of_a_temporary_activation_is_ours(types: tuple[str, ...], expected: int | None) -> None:
    assert count(*types, temporary=True) == expected


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (("erofs",), 1),
        (("format/*",), 1),
        (("format/*", "erofs"), 1),
        (("format/*", "mkdir/*", "erofs"), None),
        (("format/mkdir/overlay", "erofs"), None),
        (("overlay", "erofs"), 1),
    ],
)
def test_what_is_allowed_is_left(allowed: tuple[str, ...], expected: int | None) -> None:
    assert count("erofs", "format/mkdir/overlay", allowed=allowed) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("plain }} text", "plain }} text"),
        ("{{ mount 0 }}", "/m/0"),
        ("{{mount 2}}/up", "/m/2/up"),
        ("{{ source 1 }}:{{ target 1 }}", "s1:t1"),
        ("{{ overlay 0 2 }}", "/m/0:/m/1:/m/2"),
        ("{{ overlay 2 0 }}", "/m/2:/m/1:/m/0"),
        ("{{ overlay 1 1 }}", "/m/1"),
        ("a {{- mount 0 -}} b", "a/m/0b"),
        ("{{ (mount 0) }}", "/m/0"),
        ("{{ mount 0x1 }}", "/m/1"),
        ("{{ 5 }}{{ true }}", "5true"),
        ('{{ "}}\\"" }}', '}}"'),
        ("{{/* a }} comment */}}x", "x"),
        ("a {{- /* c */ -}} b", "ab"),
    ],
)
def test_a_template_is_filled_in(template: str, expected: str) -> None:
    assert filled(template, MOUNTED) == expected


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            "{{ mount 3 }}",
            'template: :1:3: executing "" at <mount 3>: error calling mount: index out',
        ),
        ("x{{ mount -1 }}", "template: :1:4: .*index out of bounds: -1, has 3 active mounts"),
        ("{{ overlay 0 3 }}", "invalid range: 0-3, has 3 active mounts"),
        ("{{ mount }}", 'executing "" at <mount>: wrong number of args for mount: want 1 got 0'),
        ("{{ mount 0 1 }}", "want 1 got 2"),
        ('{{ mount "a" }}', 'template: :1:9: executing "" at <"a">: expected integer; found "a"'),
        ("{{ foo }}", 'template: :1: function "foo" not defined'),
        ("{{", "template: :1: unclosed action"),
        ("{{ /* ", "template: :1: unclosed comment"),
        ("{{ }}", "template: :1: missing value for command"),
        ("{{ nil }}", "nil is not a command"),
        ("{{ .X }}", "not supported"),
        ("{{ mount 1.5 }}", "expected integer"),
        ("{{ mount 0 | len }}", "wrong number of args"),
        ("{{ (mount 0 }}", "not supported"),
    ],
)
def test_a_template_that_cant_be_filled_in_fails(template: str, text: str) -> None:
    with pytest.raises(Unknown, match=text):
        filled(template, MOUNTED)


def mkfs(path: Path, *options: str) -> Mount:
    said = tuple(f"X-containerd.mkfs.{option}" for option in options)
    return with_file_system(Mount("loop", str(path), options=(*said, "ro")), [str(path.parent)])


@pytest.mark.parametrize("type_", ["ext2", "ext3", "ext4", "xfs"])
def test_a_file_gets_a_file_system_once(type_: str, tmp_path: Path) -> None:
    path, size = tmp_path / "image", 320 << 20 if type_ == "xfs" else 8 << 20
    uuid = "12345678-1234-1234-1234-123456789abc"
    assert mkfs(path, f"size={size}", f"fs={type_}", f"uuid={uuid}").options == ("ro",)
    status = path.stat()
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (size, 0o640)
    assert status.st_blocks * 512 < size
    with path.open("rb") as file:
        at, magic = (0, b"XFSB") if type_ == "xfs" else (1024 + 56, b"\x53\xef")
        assert os.pread(file.fileno(), len(magic), at) == magic
        assert bytes.fromhex(uuid.replace("-", "")) in file.read(4096)
    path.write_bytes(b"mine")
    mkfs(path, "size=1MiB")
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ((), InvalidArgument, "mkfs requires mkfs.size option"),
        (("size=0",), InvalidArgument, "mkfs requires mkfs.size option"),
        (("size=zz",), Unknown, "bad option size: invalid size: 'zz'"),
        (("size=1x",), Unknown, "bad option size: invalid suffix: 'x'"),
        (("size=1MiB", "fs=zfs"), InvalidArgument, 'unsupported filesystem "zfs"'),
        (("foo=1",), InvalidArgument, "unknown mount option foo"),
        (("size=8MiB", "uuid=zz"), Unknown, "mkfs.ext4 failed: .*could not parse UUID"),
        (("size=1.5k",), Unknown, "mkfs.ext4 failed"),
    ],
)
def test_a_file_system_that_cant_be_made_leaves_no_file(
    options: tuple[str, ...], kind: type[Error], text: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=f"(?s){text}"):
        mkfs(tmp_path / "image", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("8388608", 8388608), ("8 MiB", 8 << 20), ("8m", 8 << 20), ("0.5GB", 512 << 20)]
)
def test_sizes_are_binary(text: str, size: int, tmp_path: Path) -> None:
    mkfs(tmp_path / "image", f"size={text}")
    assert (tmp_path / "image").stat().st_size == size


def mkdir(root: Path, *options: str) -> Mount:
    mount = Mount("bind", "/", options=tuple(f"X-containerd.mkdir.{option}" for option in options))
    return with_directories(mount, [str(root)])


def test_directories_are_made_with_their_rights(tmp_path: Path) -> None:
    assert mkdir(tmp_path, f"path={tmp_path}/a", f"path={tmp_path}/a/b:0751:0:0").options == ()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")]
    assert modes == [0o700, 0o751]
    mkdir(tmp_path, f"path={tmp_path}/a", f"path={tmp_path}/a/b:751")


@pytest.mark.parametrize(
    ("option", "kind", "text"),
    [
        ("path={}/old:0700", Unimplemented, "chmod not supported yet"),
        ("path={}/new:0755:1:1", Unimplemented, "chown not supported yet"),
        ("path={}/new:99", Unknown, 'invalid mode 99: strconv.ParseUint: parsing "99": invalid syntax'),
        ("path={}/new:1777", Unknown, "invalid mode 1777"),
        ("path={}/new:0755:x:0", InvalidArgument, 'invalid uid "x"'),
        ("path={}/new:0755:0:0:0", InvalidArgument, 'invalid gid "0:0"'),
        ("path={}/new:0755:0", InvalidArgument, "invalid mkdir option"),
        ("foo=1", InvalidArgument, "invalid mkdir option"),
        ("path=/tmp/elsewhere", Unimplemented, 'no root "/tmp/elsewhere" configured for mkdir'),
        ("path={}2/x", Unimplemented, "no root"),
        ("path={}", Unknown, "empty path"),
        ("path={}/no/such/x", Unknown, "mkdirat no/such/x: no such file or directory"),
        ("path={}/out/x", Unknown, "statat out/x: path escapes from parent"),
    ],
)
def test_directories_that_cant_be_made(option: str, kind: type[Error], text: str, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    (tmp_path / "out").symlink_to("/tmp")
    with pytest.raises(kind, match=text):
        mkdir(tmp_path, option.format(tmp_path))
    assert not Path("/tmp/x").exists()


def test_a_path_that_climbs_stays_below_its_root(tmp_path: Path) -> None:
    mkdir(tmp_path, f"path={tmp_path}/../../inside")
    assert (tmp_path / "inside").is_dir()
