"""What ctr prints, beside the original on one daemon: lists, records, and the words for what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.ctr_oracle import Both

NOTHING = "sha256:" + "0" * 64


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def both(request: pytest.FixtureRequest, session_base: Path, busybox_archive: Path) -> Iterator[Both]:
    """A daemon with an image, containers, a running task, leases, snapshots and an ingest."""
    with Daemon.start(request.param, session_base / f"ctr-look-{request.param}") as daemon:
        daemon.ctr("images", "import", "--label", "a=<b>&", busybox_archive)
        daemon.ctr("containers", "create", "--label", "l=m", IMAGE, "idle")
        daemon.run("-d", "--null-io", IMAGE, "busy", "sleep", "1000")
        daemon.ctr("leases", "create", "--id", "lease", "a=b")
        daemon.ctr("namespaces", "label", daemon.namespace, "k=v")
        daemon.ctr("snapshots", "prepare", "top")
        daemon.ctr("content", "ingest", "--expected-size", "99", "half", stdin=b"half", check=False)
        yield Both(daemon, IMAGE)


LOOKS = [
    "namespaces ls",
    "ns ls -q",
    "containers ls",
    "c ls -q",
    "c ls id~=id",
    "c ls id==idle id==busy",
    "c info idle",
    "c info busy",
    "c info --spec idle",
    "tasks ls",
    "t ls -q",
    "t ls --",
    "t ls -- -q",
    "t ls -q=T",
    "t ps busy",
    "images ls",
    "i ls -q",
    "i ls name==nope",
    "content ls",
    "content ls -q",
    "content active",
    "content active ref==half",
    "snapshots ls",
    "snapshots tree",
    "snapshots usage",
    "snapshots diff --media-type application/vnd.oci.image.layer.v1.tar idle",
    "snapshots diff --media-type application/vnd.oci.image.layer.v1.tar idle busy",
    "snapshots usage -b top",
    "snapshots info idle",
    "snapshots info top",
    "snapshots mounts /mnt idle",
    "snapshots mounts /mnt top",
    "snapshots label top",
    "leases ls",
    "leases ls -q",
    "leases ls id==nope",
    "plugins ls",
    "plugins ls -q",
    "plugins ls type~=lease",
    "plugins ls -d id==native",
    "info",
    "deprecations list",
    "deprecations list --format json",
    "oci spec",
    "oci spec --platform linux/arm64",
    "oci spec --platform windows",
    "oci spec --platform darwin/arm64",
]


@pytest.mark.parametrize("words", LOOKS)
def test_a_look_shows_what_the_original_shows(both: Both, words: str) -> None:
    assert both.same(*words.split(" ")).code == 0


WRONG = [
    "bogus",
    "tasks bogus",
    "tasks help bogus",
    "help bogus",
    "version x",
    "-n  c ls",
    "-n b@d c ls",
    "-a /nope c ls",
    "-a /tmp c ls",
    "-a /nope events",
    "-a /tmp events",
    "--timeout 1ns c ls",
    "events foo<",
    "c ls id<c",
    "oci spec --platform bogus",
    "namespaces create",
    "namespaces create b@d",
    "namespaces create {namespace}",
    "namespaces label",
    "namespaces rm {namespace} nope",
    "containers info",
    "containers info nope",
    "containers label",
    "containers label idle",
    "containers label nope a=b",
    "containers rm",
    "containers rm nope nope2",
    "containers rm busy",
    "containers create",
    "containers create x",
    "containers create nope x",
    "containers create {image} idle",
    "containers create --config /nope x",
    "tasks ps",
    "tasks ps nope",
    "tasks ps idle",
    "tasks kill",
    "tasks kill nope",
    "tasks kill idle",
    "tasks kill --signal BOGUS idle",
    "tasks kill --signal 0 idle",
    "tasks kill --all --exec-id x busy",
    "tasks kill --exec-id x busy",
    "tasks rm",
    "tasks rm nope",
    "tasks rm idle",
    "tasks rm busy",
    "tasks rm --exec-id x busy",
    "tasks start",
    "tasks start nope",
    "tasks start busy",
    "tasks attach",
    "tasks attach nope",
    "tasks attach idle",
    "tasks pause",
    "tasks pause idle",
    "tasks resume busy",
    "tasks metrics",
    "tasks metrics nope",
    "tasks metrics --format x busy",
    "tasks exec busy true",
    "tasks exec --exec-id x nope true",
    "tasks exec --exec-id x idle true",
    "images rm",
    "images rm nope",
    "images rm --sync nope",
    "images tag",
    "images tag nope",
    "images tag nope x",
    "images tag {image} B@D/",
    "images tag --local nope x",
    "images label",
    "images label nope a=b",
    "images label {image}",
    "images import",
    "images import /nope",
    "images import --discard-unpacked-layers x",
    "content get",
    "content get nope",
    "content get sha256:00",
    "content get md5:00",
    f"content get {NOTHING}",
    "content rm",
    "content rm nope",
    f"content rm {NOTHING}",
    "content label",
    "content label nope",
    f"content label {NOTHING} a=b",
    "content ingest",
    "content ingest --expected-digest x y",
    "content active bo<",
    "snapshots --snapshotter bogus ls",
    "snapshots info nope",
    "snapshots rm",
    "snapshots rm nope",
    "snapshots usage nope",
    "snapshots diff",
    "snapshots diff nope",
    "snapshots diff --media-type x/y idle",
    "snapshots mounts /x nope",
    "snapshots label",
    "snapshots label nope a=b",
    "snapshots commit x nope",
    "snapshots view v nope",
    "snapshots prepare top",
    "leases rm nope",
    "leases create --id lease",
    "plugins ls bogus==x",
]


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_the_words_of_the_original(both: Both, words: str) -> None:
    both.same(*words.replace("{namespace}", both.daemon.namespace).split(" "))


MISUSED = [
    "--bogus version",
    "tasks --bogus ls",
    "tasks ls --bogus",
    "tasks ls -qq",
    "tasks ls -q=x",
    "tasks kill --signal",
    "---x version",
    "-=x version",
    "--timeout 5 version",
    "--timeout 5x version",
    "run --memory-limit -1 {image} x",
    "run --cpus x {image} x",
    "run --cpu-quota 1.5 {image} x",
    "leases create -x day",
]


@pytest.mark.parametrize("words", MISUSED)
def test_a_flag_that_can_not_be_is_refused_alike(both: Both, words: str) -> None:
    arguments = tuple(words.split(" "))
    theirs, ours = both.ask(STOCK, arguments), both.ask(OURS, arguments)
    assert (ours.code, ours.err) == (theirs.code, theirs.err)
    # Behind it follows the help, which is in our own words.
    assert ours.lines[:2] == theirs.lines[:2]


def test_a_blob_is_written_as_it_is(both: Both) -> None:
    digest = both.daemon.ctr("content", "ls", "-q").lines[0]
    assert both.same("content", "get", digest).code == 0


def test_standard_input_becomes_a_blob(both: Both) -> None:
    for program in (STOCK, OURS):
        data = f"blob by {program}".encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        both.daemon.ctr("content", "ingest", "--expected-size", str(len(data)), f"by-{program}", by=program, stdin=data)
        assert both.same("content", "get", digest).out == data.decode()


def test_metrics_have_the_same_members(both: Both) -> None:
    def shape(text: str) -> list[str]:
        return [line.rstrip("0123456789,[] ") for line in text.splitlines()]

    theirs, ours = (both.ask(program, ("tasks", "metrics", "--format", "json", "busy")) for program in (STOCK, OURS))
    assert shape(ours.out) == shape(theirs.out)
    theirs, ours = (both.ask(program, ("tasks", "metrics", "busy")) for program in (STOCK, OURS))
    assert [line.split(" ")[0] for line in ours.lines] == [line.split(" ")[0] for line in theirs.lines]
