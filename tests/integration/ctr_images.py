"""Images that ctr is tested with, besides the plain one."""

from __future__ import annotations

import io
import tarfile

from scripts.busybox_image import busybox_layer, oci_archive
from tests.harness.daemon import Daemon

ODD = "example.local/odd:1"
EMPTY = "example.local/empty:1"


def upper_layer() -> bytes:
    """A layer that replaces /etc/group by a link out of the image, and hides a file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (
            ("etc/groups", b"root:x:0:\nuser:x:1000:user\nmore:x:7:user\nzero:x:9:\n"),
            ("etc/.wh.group", b""),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def linking_layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("etc/group")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/groups"
        tar.addfile(member)
    return out.getvalue()


def import_images(daemon: Daemon) -> None:
    """Imports an image of several layers whose config says everything, and one whose config says nothing."""
    base = daemon.base
    odd = oci_archive(
        ODD,
        [busybox_layer(), upper_layer(), linking_layer()],
        User="user",
        WorkingDir="/var",
        Entrypoint=["sh", "-c"],
        Cmd=["echo $A; pwd; id; exit 7"],
        Env=["A=1", "B=2", "PATH=/bin"],
        Labels={"of": "image", "containerd.io/reserved": "x"},
        StopSignal="SIGINT",
    )
    (base / "odd.tar").write_bytes(odd)
    (base / "empty.tar").write_bytes(oci_archive(EMPTY, [busybox_layer()], Cmd=None, Env=None))
    for archive in ("odd.tar", "empty.tar"):
        daemon.ctr("images", "import", "--label", "from=record", base / archive)
