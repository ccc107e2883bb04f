"""Titles, names, subreapers, descriptors and credentials over sockets, namespaces: asked of /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pycontainerd.system import mountinfo, namespaces, prctl, userns
from pycontainerd.system.socket import peer_credentials, receive_with_fds, send_with_fds

SHOW = "import os; print(open('/proc/self/cmdline').read().encode(), open('/proc/self/comm').read())"


def python(script: str, *arguments: str) -> str:
    """What a Python of its own prints: a title is for life."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_title_is_read_as_arguments() -> None:
    script = f"from pycontainerd.system.title import set_title; set_title(['containerd', '-c', 'x y']); {SHOW}"
    assert python(script, "x" * 100) == r"b'containerd\x00-c\x00x y\x00' containerd"


def test_a_title_without_the_call_of_the_kernel_is_filled_up_with_nul() -> None:
    script = f"""
from pycontainerd.system import prctl, title
def refused(*arguments): raise PermissionError
name, prctl.prctl = prctl.set_name, prctl.prctl
title._move_end = refused
title.set_title(['containerd', '-c'])
{SHOW}"""
    said = python(script, "x" * 100)
    assert said.startswith(r"b'containerd\x00-c\x00\x00\x00")
    assert said.endswith(r"\x00' containerd")


def test_a_title_too_long_is_cut_and_ends_its_last_argument() -> None:
    script = f"from pycontainerd.system.title import set_title; set_title(['a', 'b' * 100000]); {SHOW}"
    said = python(script)
    assert said.startswith(r"b'a\x00bbb")
    assert said.endswith(r"b\x00' a")


def test_a_title_can_be_set_again_longer() -> None:
    script = f"""
from pycontainerd.system.title import set_title
set_title(['a'])
set_title(['much', 'longer', 'than', 'before'])
{SHOW}"""
    assert python(script) == r"b'much\x00longer\x00than\x00before\x00' much"


def test_pidof_finds_a_title(tmp_path: Path) -> None:
    script = """
import sys
from pycontainerd.system.title import set_title
set_title(['zz-unique', '-x'])
print('ready', flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = subprocess.run(["pidof", "zz-unique"], capture_output=True, text=True, check=False).stdout.split()
        assert child.stdin is not None
        child.stdin.close()
        assert found == [str(child.pid)]


def test_a_name_is_that_of_the_thread() -> None:
    before = prctl.get_name()
    try:
        prctl.set_name("a-name-longer-than-fifteen")
        assert Path("/proc/thread-self/comm").read_text() == "a-name-longer-t\n"
    finally:
        prctl.set_name(before)


def test_a_subreaper_gets_the_orphans() -> None:
    script = """
import os
from pycontainerd.system import prctl
assert not prctl.is_child_subreaper()
prctl.set_child_subreaper()
read, write = os.pipe()
if not os.fork():
    if not os.fork():
        while os.getppid() == os.getpgid(0): pass
        os.read(read, 1)
        os.write(1, f'{os.getppid()}'.encode())
    os._exit(0)
os.wait()
os.write(write, b'x')
os.wait()
print('', os.getpid(), prctl.is_child_subreaper())
"""
    parent, own, now = python(script).split()
    assert (parent, now) == (own, "True")


def test_descriptors_travel_with_their_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("through")
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right, (tmp_path / "file").open() as file:
        assert send_with_fds(left, b"hi", [file.fileno(), left.fileno()]) == 2
        data, (copy, other) = receive_with_fds(right, 10)
        assert data == b"hi"
        assert not os.get_inheritable(copy)
        assert os.read(copy, 100) == b"through"
        os.close(copy)
        os.close(other)


def test_a_message_with_too_much_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        before = len(os.listdir("/proc/self/fd"))
        send_with_fds(left, b"hi", [0] * 20)
        with pytest.raises(ValueError, match="longer"):
            receive_with_fds(right, 10)
        send_with_fds(left, b"x" * 20, [0])
        with pytest.raises(ValueError, match="longer"):
            receive_with_fds(right, 10)
        assert len(os.listdir("/proc/self/fd")) == before


def test_the_other_end_is_known() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert peer_credentials(left) == (os.getpid(), os.geteuid(), os.getegid())


def test_a_user_namespace_has_the_maps_that_were_asked_for() -> None:
    descriptor = userns.open_mapped("0 100000 65536\n", "0 200000 65536\n")
    try:
        assert os.fstat(descriptor).st_ino != os.stat("/proc/self/ns/user").st_ino
        script = f"""
import os
from pycontainerd.system import namespaces
namespaces.setns({descriptor}, namespaces.CLONE_NEWUSER)
maps = [open('/proc/self/' + kind + '_map').read().split() for kind in ('uid', 'gid')]
print(*maps, namespaces.in_user_namespace())
"""
        said = subprocess.run(
            [sys.executable, "-c", script], pass_fds=[descriptor], capture_output=True, text=True, check=True
        ).stdout
    finally:
        os.close(descriptor)
    assert said.strip() == "['0', '100000', '65536'] ['0', '200000', '65536'] True"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_line_of_mountinfo_is_read_whole() -> None:
    line = r"36 35 98:0 /root\040dir /mnt\011two rw,noatime master:1 shared:2 - ext4 /dev/a\134b rw,errors=continue"
    info = mountinfo.parse_line(line + "\n")
    assert (info.id, info.parent, info.root, info.mount_point) == (36, 35, "/root dir", "/mnt\ttwo")
    assert (info.type, info.source, info.super_options) == ("ext4", r"/dev/a\b", "rw,errors=continue")
    assert info.propagation == "master:1 shared:2"


def test_this_process_is_in_the_first_user_namespace() -> None:
    mapped = Path("/proc/self/uid_map").read_text().split()
    assert namespaces.in_user_namespace() == (mapped != ["0", "0", "4294967295"])
