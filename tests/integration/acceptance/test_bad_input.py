"""Bad input, given to both daemons by both programs: the same exit code and the same words, which name the object.

What other tests prove on the wire is not proven again here:

- every store's answers beside stock's: `metadata/test_against_stock.py` (also each request that kills stock),
  `content/test_answers.py` (also wrong digests and broken commits), `snapshots/test_answers.py`,
  `tasks/test_answers.py` (also runtimes that are none, and what runc refuses), `test_shim_differences.py`;
- archives: `transfer/test_import.py` (cut anywhere, other layers than promised, no archive at all);
- layers that leave their root: `diff/test_beside_stock.py`, `diff/test_worker.py`, `tests/unit/diff/test_hostile.py`;
- configurations, roots that are files or read-only, sockets of living daemons: `daemon/test_start.py`;
- ctr's words on a daemon that has what they name: `test_ctr_looking.py`, `test_ctr_running.py`.
"""

from __future__ import annotations

import io
import itertools
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as diff_pb2
from pycontainerd.api.containerd.services.events import v1_pb2 as events_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.api.containerd.services.transfer import v1_pb2 as transfer_pb2
from scripts.busybox_image import busybox_layer, oci_archive
from tests.conftest import IMAGE
from tests.harness.asking import OverSocket, outcome
from tests.harness.daemon import OURS, STOCK, Daemon, Kind, Result
from tests.harness.differences import deliberate

NOTHING = f"sha256:{'0' * 64}"
HOSTILE = "example.local/hostile:1"
_numbers = itertools.count(1)
QUIET = {"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1"}


@pytest.fixture(scope="module")
def daemons(session_base: Path, busybox_archive: Path) -> Iterator[list[Daemon]]:
    """Stock's daemon and ours, each with the image of busybox and a container that runs."""
    with (
        Daemon.start(STOCK, session_base / "bad-stock", environment=QUIET) as stock,
        Daemon.start(OURS, session_base / "bad-ours", environment=QUIET) as ours,
    ):
        for daemon in (stock, ours):
            daemon.ctr("images", "import", busybox_archive)
            daemon.run("-d", IMAGE, "busy", "sleep", "1000")
        yield [stock, ours]


def plain(daemon: Daemon, text: str) -> str:
    """*text* without what differs between two daemons."""
    text = text.replace(str(daemon.base), "BASE").replace(daemon.namespace, "NAMESPACE")
    text = re.sub(r"own-(stock|ours)-(stock|ours)-\d+", "own", text)
    # What is left of an import is resumed or already collected by the next, as it happens.
    text = re.sub(r"expected \d+ bytes but got \d+: unexpected", "N bytes: unexpected", text)
    text = re.sub(r"/snapshots/\d+/", "/snapshots/N/", text)
    text = re.sub(r"extract-\d+-[\w-]{4}", "extract-N", text)
    # Our worker sees no path but the member's own.
    text = re.sub(r"(link \S+ \S+/fs/hard|failed to extract 'hard'): no such", "hard: no such", text)
    return re.sub(r'time="[^"]*"', "time=T", text)


def same(daemons: list[Daemon], *words: str | Path, stdin: bytes = b"") -> Result:
    """Says *words* to both daemons by both programs: all end alike. `{own}` is another name each time."""
    answers = {}
    for daemon in daemons:
        for program in (STOCK, OURS):
            own = f"own-{daemon.kind}-{program}-{next(_numbers)}"
            said = [str(word).replace("{own}", own) for word in words]
            ask = daemon.run if said[0] == "run" else daemon.ctr
            result = ask(*(said[1:] if said[0] == "run" else said), by=program, check=False, stdin=stdin)
            answers[f"{program} ctr, {daemon.kind} daemon"] = Result(
                result.code, plain(daemon, result.out), plain(daemon, result.err)
            )
    first = answers["stock ctr, stock daemon"]
    others = [f"{who}: {it}" for who, it in answers.items() if (it.code, it.err) != (first.code, first.err)]
    assert not others, f"\nstock: {first}\n" + "\n".join(others)
    return first


WORDS = [
    ("run {image} {own}@ true", "must match"),
    ("-n b@d images ls", 'identifier "b@d" must match'),
    ("namespaces create b@d", 'identifier "b@d" must match'),
    ("-n b@d leases ls", 'failed to list leases: namespace validation: identifier "b@d" must match'),
    ("-n b@d tasks ls", "rpc error: code = InvalidArgument desc = namespace validation"),
    ("-n b@d content ls", 'identifier "b@d" must match'),
    ("tasks exec --exec-id b@d busy true", 'identifier "b@d" must match'),
    ("-n  images ls", "namespace is required"),
    ("run example.local/nope:1 {own} true", 'image "example.local/nope:1": not found'),
    ("images tag example.local/nope:1 x:1", "example.local/nope:1"),
    (f"content get {NOTHING}", f"content digest {NOTHING}: not found"),
    (f"content ingest --expected-digest {NOTHING} {{own}}", NOTHING),
    ("content ingest --expected-size 70 {own}", "short read: N bytes: unexpected EOF"),
    ("snapshots --snapshotter nope ls", "snapshotter not loaded: nope"),
    ("snapshots --snapshotter nope prepare k", "snapshotter not loaded: nope"),
    ("run --snapshotter nope {image} {own} true", "snapshotter not loaded: nope"),
    ("images import --snapshotter nope {archive}", "unable to initialize unpacker"),
    ("run --runtime io.containerd.nope.v2 {image} {own} true", "containerd-shim-nope-v2"),
    ("run --runtime /nope {image} {own} true", "/nope"),
    ("run --runtime nope {image} {own} true", "invalid runtime name nope"),
    ("run {image} busy true", "busy"),
    ("run {image} {own} nosuch", 'exec: "nosuch": executable file not found in $PATH'),
    ("run --cwd /bin/busybox {image} {own} true", "/bin/busybox"),
    ("run --mount type=bind,src=/nope,dst=/x,options=bind {image} {own} true", "/nope"),
    ("run --with-ns network:/nope {image} {own} true", "/nope"),
    ("run --rlimit-nofile 5:1 {image} {own} true", "rlimit"),
    ("run --user nobody-here {image} {own} true", "no users found"),
    ("tasks kill nope", 'container "nope" in namespace "NAMESPACE": not found'),
    ("containers rm busy", "cannot delete a non stopped container"),
    ("tasks rm busy", "task must be stopped before deletion"),
]


@pytest.mark.parametrize(("words", "named"), WORDS, ids=[words for words, _ in WORDS])
def test_both_daemons_and_both_programs_say_the_same(
    daemons: list[Daemon], busybox_archive: Path, words: str, named: str
) -> None:
    said = [word.replace("{image}", IMAGE).replace("{archive}", str(busybox_archive)) for word in words.split(" ")]
    answer = same(daemons, *said, stdin=b"other bytes")
    assert answer.code == 1
    assert named in answer.err


@pytest.mark.parametrize("kept", [100, 5_000, 600_000], ids=lambda kept: f"{kept} bytes")
def test_a_truncated_archive_is_refused(daemons: list[Daemon], busybox_archive: Path, scratch: Path, kept: int) -> None:
    broken = scratch / "broken.tar"
    broken.write_bytes(busybox_archive.read_bytes()[:kept])
    assert same(daemons, "images", "import", broken).code == 1


STORE = sandbox_pb2.DESCRIPTOR.services_by_name["Store"]
NAMESPACED: list[tuple[ServiceDescriptor, str, Message]] = [
    (containers_pb2.DESCRIPTOR.services_by_name["Containers"], "list", containers_pb2.ListContainersRequest()),
    (content_pb2.DESCRIPTOR.services_by_name["Content"], "list", content_pb2.ListContentRequest()),
    (content_pb2.DESCRIPTOR.services_by_name["Content"], "read", content_pb2.ReadContentRequest(digest=NOTHING)),
    (images_pb2.DESCRIPTOR.services_by_name["Images"], "list", images_pb2.ListImagesRequest()),
    (images_pb2.DESCRIPTOR.services_by_name["Images"], "get", images_pb2.GetImageRequest(name="nope")),
    (leases_pb2.DESCRIPTOR.services_by_name["Leases"], "list", leases_pb2.ListRequest()),
    (snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"], "list", snapshots_pb2.ListSnapshotsRequest()),
    (
        snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"],
        "stat",
        snapshots_pb2.StatSnapshotRequest(snapshotter="overlayfs", key="nope"),
    ),
    (tasks_pb2.DESCRIPTOR.services_by_name["Tasks"], "list", tasks_pb2.ListTasksRequest()),
    (tasks_pb2.DESCRIPTOR.services_by_name["Tasks"], "get", tasks_pb2.GetRequest(container_id="nope")),
    (transfer_pb2.DESCRIPTOR.services_by_name["Transfer"], "transfer", transfer_pb2.TransferRequest()),
    (events_pb2.DESCRIPTOR.services_by_name["Events"], "publish", events_pb2.PublishRequest(topic="/x")),
]


@pytest.mark.parametrize("namespace", ["", "b@d", "a" * 77], ids=["missing", "bad", "too long"])
@pytest.mark.parametrize(("service", "method", "request_"), NAMESPACED, ids=[f"{s.name}.{m}" for s, m, _ in NAMESPACED])
def test_a_call_without_a_namespace_or_with_a_bad_one_is_answered_as_by_stock(
    daemons: list[Daemon], service: ServiceDescriptor, method: str, request_: Message, namespace: str
) -> None:
    theirs, ours = (asked(daemon, service, method, request_, namespace=namespace) for daemon in daemons)
    assert ours == theirs


def asked(daemon: Daemon, service: ServiceDescriptor, method: str, request: Message, *, namespace: str) -> str:
    asker = OverSocket(daemon.address)
    try:
        return outcome(asker, service, method, request, namespace=namespace)
    finally:
        asker.close()


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        (diff_pb2.DESCRIPTOR.services_by_name["Diff"], "apply", diff_pb2.ApplyRequest()),
        (events_pb2.DESCRIPTOR.services_by_name["Events"], "forward", events_pb2.ForwardRequest()),
        (content_pb2.DESCRIPTOR.services_by_name["Content"], "update", content_pb2.UpdateRequest()),
        (
            snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"],
            "update",
            snapshots_pb2.UpdateSnapshotRequest(snapshotter="overlayfs"),
        ),
        (STORE, "create", sandbox_pb2.StoreCreateRequest()),
        (STORE, "update", sandbox_pb2.StoreUpdateRequest()),
        (STORE, "create", sandbox_pb2.StoreCreateRequest(sandbox=types_pb2.Sandbox(sandbox_id="s"))),
        (STORE, "update", sandbox_pb2.StoreUpdateRequest(sandbox=types_pb2.Sandbox(sandbox_id="s"))),
    ],
    ids=[
        *("Diff.Apply", "Events.Forward", "Content.Update", "Snapshots.Update"),
        *("Store.Create", "Store.Update", "Store.Create without runtime", "Store.Update without runtime"),
    ],
)
def test_a_request_that_would_kill_stock_is_refused(
    daemons: list[Daemon], service: ServiceDescriptor, method: str, request_: Message
) -> None:
    deliberate("nil-parts-refused")
    said = asked(daemons[1], service, method, request_, namespace="nil")
    assert said.startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("exec", tasks_pb2.ExecProcessRequest(container_id="busy", exec_id="e")),
        ("update", tasks_pb2.UpdateTaskRequest(container_id="busy")),
    ],
    ids=["exec", "update"],
)
def test_a_request_that_would_kill_stocks_shim_is_refused(
    daemons: list[Daemon], method: str, request_: Message
) -> None:
    deliberate("nil-any-refused")
    ours = daemons[1]
    tasks = tasks_pb2.DESCRIPTOR.services_by_name["Tasks"]
    said = asked(ours, tasks, method, request_, namespace=ours.namespace)
    assert said.startswith("INVALID_ARGUMENT: ")
    assert "status: RUNNING" in asked(
        ours, tasks, "get", tasks_pb2.GetRequest(container_id="busy"), namespace=ours.namespace
    )


# --- layers ---------------------------------------------------------------------------------------------------


def layer(*members: tuple[str, bytes, str]) -> bytes:
    """A layer of members: name, type of tar, and what it links to or holds."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            data = text.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            info.linkname = "" if data else text
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
ESCAPES = {
    "dots": [("../../../../../../../../{outside}/evil", FILE, "evil")],
    "an absolute name": [("{outside}/evil", FILE, "evil")],
    "an absolute link": [("way", LINK, "{outside}"), ("way/evil", FILE, "evil")],
    "a link of dots": [("way", LINK, "../../../../../../../../../..{outside}"), ("way/evil", FILE, "evil")],
    "a link over a file": [("way", LINK, "{outside}/kept"), ("way", FILE, "evil")],
    "a hard link out": [("hard", HARD, "../../../../../../../../..{outside}/kept"), ("hard", FILE, "evil")],
    "a hard link through a link": [("way", LINK, "{outside}"), ("hard", HARD, "way/kept")],
    "a whiteout through a link": [("way", LINK, "{outside}"), ("way/.wh.kept", FILE, "x")],
    "an opaque one through a link": [("way", LINK, "{outside}"), ("way/.wh..wh..opq", FILE, "x")],
    "a whiteout of dots": [("bin/.wh...", FILE, "x")],
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_layer_that_would_leave_its_root_ends_as_with_stock_and_leaves_it_not(
    daemons: list[Daemon], scratch: Path, escape: str
) -> None:
    outside = scratch / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    members = [
        (name.format(outside=outside), kind, text.format(outside=outside)) for name, kind, text in ESCAPES[escape]
    ]
    archive = scratch / "hostile.tar"
    archive.write_bytes(oci_archive(HOSTILE, [busybox_layer(), layer(*members)]))
    imported = same(daemons, "images", "import", archive)
    if imported.code == 0:
        found = same(
            daemons,
            "run",
            "--rm",
            HOSTILE,
            "{own}",
            "sh",
            "-c",
            "ls -l way hard; cat way hard; find / -xdev -name evil",
        )
        assert "kept" not in found.out.replace("/kept", "")
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"kept": "kept"}
    for daemon in daemons:
        daemon.ctr("images", "rm", "--sync", HOSTILE, check=False)


def planted(mark: Path) -> bytes:
    """A layer with a module at every path of the standard library, and beside, that leaves a mark."""
    evil = f"open({str(mark)!r}, 'a').write(__name__)"
    places = ("", "usr/lib/python3.11/", "usr/lib/python3/dist-packages/", "usr/local/lib/python3.11/", "root/")
    names = [*sorted(sys.stdlib_module_names), "sitecustomize", "usercustomize", "pycontainerd", "google", "uvloop"]
    return layer(*((f"{place}{name}.py", FILE, evil) for place in places for name in names))


@pytest.mark.parametrize("kind", [OURS, STOCK], ids=lambda kind: f"{kind} daemon")
def test_modules_of_a_layer_are_imported_by_no_process_of_ours(scratch: Path, kind: Kind) -> None:
    """Unpacked by our worker, run below our shim, and looked at by our ctr from inside its own root."""
    mark = scratch / "ran"
    archive = scratch / "planted.tar"
    python = {"Env": ["PATH=/bin", "PYTHONPATH=/", "PYTHONHOME=/usr"], "WorkingDir": "/usr/lib/python3.11"}
    archive.write_bytes(oci_archive(HOSTILE, [busybox_layer(), planted(mark)], **python))
    with Daemon.start(kind, scratch / "d", shims=OURS, environment=QUIET) as daemon:
        daemon.ctr("images", "import", archive, by=OURS)
        daemon.run("-d", "--user", "root", HOSTILE, "c", "sleep", "1000", by=OURS)
        rootfs = next(daemon.state.glob("io.containerd.runtime.v2.task/*/c/rootfs"))
        assert (rootfs / "os.py").exists()
        for words in (
            ["tasks", "exec", "--exec-id", "e", "c", "true"],
            ["tasks", "ls"],
            ["tasks", "kill", "-s", "9", "c"],
        ):
            done = subprocess.run(
                [OURS.program("ctr"), *words],
                cwd=rootfs,
                env=daemon.env(),
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert (done.returncode, done.stderr) == (0, b"")
        assert daemon.ctr("tasks", "attach", "c", by=OURS, check=False).code == 137
        daemon.ctr("containers", "rm", "c", by=OURS)
    assert not mark.exists()
