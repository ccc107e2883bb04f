"""Checkpoint and restore by ctr, ours and stock, with our daemon and the stock one: the same in all four pairs.

Criu does not run on every kernel: a stand-in for runc writes the files, and shows how it is called.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from tests.conftest import IMAGE
from tests.harness.asking import OverSocket, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon, Kind, Result
from tests.harness.differences import deliberate
from tests.harness.fake_runc import FakeRunc

IMAGES = images_pb2.DESCRIPTOR.services_by_name["Images"]
CONTENT = content_pb2.DESCRIPTOR.services_by_name["Content"]


class Scene:
    """A daemon with a container `c` whose runtime is the stand-in, and the ctr that is looked at."""

    def __init__(self, daemon: Daemon, ctr: Kind, asker: OverSocket, runc: FakeRunc) -> None:
        self.daemon = daemon
        self._ctr = ctr
        self._asker = asker
        self.runc = runc

    def ctr(self, *words: str | Path) -> Result:
        done = self.daemon.ctr(*words, by=self._ctr, check=False)
        errors = "\n".join(line for line in done.err.splitlines() if "DEPRECATION" not in line)
        return Result(done.code, self.plain(done.out), self.plain(errors))

    def plain(self, text: str) -> str:
        """*text* without what is another in every run."""
        text = text.replace(str(self.daemon.base), "BASE").replace(self.daemon.namespace, "NAMESPACE")
        text = re.sub(r"\d\d-\d\d-\d{4}-\d\d:\d\d:\d\d", "TIME", text)
        # The original has the files in a temporary directory, and writes one flag with a single dash.
        text = re.sub(r"\S+/x/ctrd-checkpoint\w+|BASE/root/\S+/(ctrd-checkpoint\w+|checkpoint)", "FILES", text)
        return text.replace(" -no-subreaper", " --no-subreaper")

    def calls(self) -> list[str]:
        """The command lines of the runtime since the last time; those for what has no part in this."""
        lines = [self.plain(line).partition("--log-format json ")[2] or line for line in self.runc.take()]
        return [line for line in lines if not line.startswith(("delete", "kill", "state"))]

    def image(self, name: str) -> images_pb2.Image:
        request = images_pb2.GetImageRequest(name=name)
        reply: images_pb2.GetImageResponse = self._asker.ask(IMAGES, "get", request, namespace=self.daemon.namespace)
        return reply.image

    def blob(self, digest: str) -> bytes:
        request = content_pb2.ReadContentRequest(digest=digest)
        parts = self._asker.ask(CONTENT, "read", request, namespace=self.daemon.namespace)
        return b"".join(part.data for part in parts)

    def labels(self, digest: str) -> dict[str, str]:
        request = content_pb2.InfoRequest(digest=digest)
        return dict(self._asker.ask(CONTENT, "info", request, namespace=self.daemon.namespace).info.labels)

    def index(self, name: str) -> Any:
        """What a checkpoint consists of, without sizes; digests by what they are of."""
        image = self.image(name)
        index = json.loads(self.blob(image.target.digest))
        for part in index["manifests"]:
            part["is"] = self.content(part.pop("mediaType"), self.blob(part.pop("digest")))
            part.pop("size")
        kept = sorted(self.labels(image.target.digest))
        return dict(image.labels), image.target.media_type, kept, index

    def content(self, media_type: str, data: bytes) -> object:
        """What can be compared of a part."""
        if media_type.endswith("tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                return media_type, sorted((each.name, each.mode, each.size) for each in archive)
        if media_type.endswith("tar+gzip"):
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                return media_type, sorted(each.name for each in archive)
        if media_type.endswith("proto"):
            message = AnyMessage.FromString(data)
            known = {kind.DESCRIPTOR.full_name: kind for kind in (runc_pb2.Options, runc_pb2.CheckpointOptions)}
            kind = known.get(message.type_url)
            text = str(kind.FromString(message.value)) if kind is not None else message.value.decode()[:40]
            return media_type, message.type_url, self.plain(text)
        return media_type


@contextmanager
def scene(base: Path, archive: Path, daemon: Kind, ctr: Kind) -> Iterator[Scene]:
    leftovers = base / "x"
    leftovers.mkdir(parents=True)
    environment = {"XDG_RUNTIME_DIR": str(leftovers)}
    with Daemon.start(daemon, base / "d", environment=environment) as running, over_socket(running.address) as asker:
        runc = FakeRunc.make(running.base)
        running.ctr("images", "import", archive)
        running.run("-d", "--runc-binary", runc.path, IMAGE, "c", "/bin/sleep", "1000")
        runc.take()
        yield Scene(running, ctr, asker, runc)
        if list(leftovers.glob("ctrd-checkpoint*")):
            assert daemon is STOCK, deliberate("restored-files-removed")


def story(at: Scene) -> Iterator[tuple[str, object]]:
    """What is seen, step by step."""
    taken = at.daemon.ctr("tasks", "checkpoint", "c", by=at._ctr)
    yield "name of a task's checkpoint", at.plain(taken.out)
    yield "calls", at.calls()
    yield "its parts", at.index(taken.out.strip())
    yield "status", at.ctr("tasks", "ls", "-q")
    yield (
        "files alone",
        at.ctr(
            "tasks",
            "checkpoint",
            "--image-path",
            at.daemon.base / "images",
            "--work-path",
            at.daemon.base / "work",
            "c",
        ),
    )
    yield "calls", at.calls()
    yield "files", sorted(path.name for name in ("images", "work") for path in (at.daemon.base / name).rglob("*"))
    yield "refused", at.ctr("tasks", "checkpoint", "--image-path", at.daemon.base / "refused", "c")
    yield "calls", at.calls()
    bundle = at.daemon.state / "io.containerd.runtime.v2.task" / at.daemon.namespace / "c"
    yield "log of criu", (bundle / "criu-dump.log").read_text()
    yield "no such container", at.ctr("tasks", "checkpoint", "nope")
    at.daemon.ctr("tasks", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "echo written > /here")
    at.calls()
    yield "a container's record", at.ctr("containers", "checkpoint", "c", "small:1")
    yield "calls", at.calls()
    yield "its parts", at.index("small:1")
    yield "all of a container", at.ctr("containers", "checkpoint", "--rw", "--image", "--task", "c", "all:1")
    yield "calls", at.calls()
    yield "its parts", at.index("all:1")
    yield "again", at.ctr("containers", "checkpoint", "c", "all:1")
    at.ctr("tasks", "pause", "c")
    yield "paused", at.ctr("containers", "checkpoint", "c", "paused:1")
    at.calls()
    yield "a paused task", at.ctr("tasks", "checkpoint", "--image-path", at.daemon.base / "more", "c")
    yield "calls", at.calls()
    at.daemon.ctr("tasks", "rm", "-f", "c")
    at.calls()
    yield "without a spec", at.ctr("containers", "restore", "d", "small:1").err
    yield "restored", at.ctr("containers", "restore", "--rw", "--live", "e", "all:1")
    yield "calls", at.calls()
    yield "what was written", at.ctr("tasks", "exec", "--exec-id", "e", "e", "/bin/cat", "/here")
    at.daemon.ctr("tasks", "rm", "-f", "e")
    yield "begun anew", at.ctr("containers", "restore", "f", "all:1")
    yield "nothing written", at.ctr("tasks", "exec", "--exec-id", "e", "f", "/bin/cat", "/here")
    at.calls()
    yield "ended", at.daemon.ctr("tasks", "checkpoint", "--exit", "f", by=at._ctr).code
    yield "calls", at.calls()[:2]
    yield "no longer running", at.ctr("tasks", "checkpoint", "f")


@pytest.fixture(scope="module")
def original(session_base: Path, busybox_archive: Path) -> list[tuple[str, object]]:
    with scene(session_base / "ck", busybox_archive, STOCK, STOCK) as at:
        return list(story(at))


@pytest.mark.parametrize(("daemon", "ctr"), [(OURS, STOCK), (STOCK, OURS), (OURS, OURS)], ids=str)
def test_checkpoints_are_those_of_the_original(
    scratch: Path, busybox_archive: Path, original: list[tuple[str, object]], daemon: Kind, ctr: Kind
) -> None:
    with scene(scratch, busybox_archive, daemon, ctr) as at:
        for (step, seen), (_, expected) in zip(story(at), original, strict=True):
            assert (step, seen) == (step, expected)
