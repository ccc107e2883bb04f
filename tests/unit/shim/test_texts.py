"""What strings mean: flags, stdio, options, specs, lines of the log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.commands.shim import parse_flags
from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.shim import bootstrap, journal, messages, options, spec
from pycontainerd.shim.address import listen, socket_path
from pycontainerd.shim.checkpoint import Checkpoint
from pycontainerd.shim.process import State, refusal
from pycontainerd.shim.stdio import uri


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/run/fifo", uri.Target("fifo", "/run/fifo")),
        ("fifo:///run/fifo", uri.Target("fifo", "/run/fifo")),
        ("file:///var/log/a%20b", uri.Target("file", "/var/log/a b")),
        ("binary:///bin/x?a=1&b&a=2", uri.Target("binary", "/bin/x", {"a": "1", "b": ""})),
        ("binary-v2:///bin/x", uri.Target("binary-v2", "/bin/x")),
        ("", uri.Target("fifo", "")),
    ],
)
def test_a_stdio_string_is_a_target(text: str, target: uri.Target) -> None:
    assert uri.parse(text) == target


@pytest.mark.parametrize("text", ["what:///x", "npipe:////./pipe/x", "http://host/x"])
def test_an_unknown_scheme_is_named(text: str) -> None:
    with pytest.raises(Unknown, match=f"unknown STDIO scheme {text.partition(':')[0]}"):
        uri.parse(text)


@pytest.mark.parametrize(
    ("arguments", "values", "rest"),
    [
        (["-namespace", "n", "--id=x", "-debug", "start"], {"namespace": "n", "id": "x", "debug": "true"}, ["start"]),
        (["-debug=false", "start", "-id", "x"], {}, ["start", "-id", "x"]),
        (["-id", "-v", "--", "-start"], {"id": "-v"}, ["-start"]),
        ([], {}, []),
    ],
)
def test_flags_are_gos(arguments: list[str], values: dict[str, str], rest: list[str]) -> None:
    assert parse_flags(arguments) == (values, rest)


def test_the_socket_of_a_shim_is_named_after_what_it_serves() -> None:
    path = socket_path("/s", "/run/containerd/containerd.sock", "default", "c1")
    assert (os.path.dirname(path), len(os.path.basename(path))) == ("/s", 64)
    assert path == socket_path("/s", "/run//containerd/./containerd.sock", "default", "c1")


def test_a_socket_path_beyond_the_limit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = str(tmp_path / "s" / "x").ljust(107, "x")
    with pytest.raises(OSError, match=r"unix socket path too long \(> 106\)"):
        listen(path)
    assert not (tmp_path / "s").exists()


def test_options_are_kept_as_the_original_keeps_them(tmp_path: Path) -> None:
    given = runc_pb2.Options(binary_name="crun", systemd_cgroup=True, io_uid=3, root="/r")
    message = AnyMessage(type_url="containerd.runc.v1.Options", value=given.SerializeToString())
    parsed = options.from_any(message)
    options.write(str(tmp_path), parsed)
    assert (tmp_path / "options.json").read_text() == (
        '{"io_uid":3,"binary_name":"crun","root":"/r","systemd_cgroup":true}'
    )
    assert (tmp_path / "runtime").read_text() == "crun"


@pytest.mark.parametrize("url", ["containerd.runhcs.v1.Options", "what"])
def test_options_of_another_runtime_are_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match=url):
        options.from_any(AnyMessage(type_url=url))
    with pytest.raises(InvalidArgument):
        options.from_any(AnyMessage(type_url="containerd.runc.v1.Options", value=b"\xff"))


def test_parameters_are_believed_only_with_our_id() -> None:
    flags = bootstrap.Flags(namespace="n", id="c1", address="/flag.sock")
    params = bootstrap_pb2.BootstrapParams(
        instance_id="c1", namespace="n", containerd_grpc_address="/a", containerd_ttrpc_address="/t", socket_dir="/s"
    )
    wanted = bootstrap.parse(params.SerializeToString(), flags)
    assert (wanted.address, wanted.ttrpc_address, wanted.socket_dir) == ("/a", "/t", "/s")
    params.instance_id = "another"
    wanted = bootstrap.parse(params.SerializeToString(), flags)
    assert (wanted.id, wanted.address, wanted.socket_dir) == ("c1", "/flag.sock", "/run/containerd/s")


def test_options_come_as_an_extension_or_alone() -> None:
    flags = bootstrap.Flags(namespace="n", id="c1")
    given = runc_pb2.Options(shim_cgroup="/x")
    message = AnyMessage(type_url="containerd.runc.v1.Options", value=given.SerializeToString())
    params = bootstrap_pb2.BootstrapParams(instance_id="c1", namespace="n")
    params.extensions.add().value.CopyFrom(AnyMessage(type_url="what"))
    params.extensions.add().value.CopyFrom(message)
    for data in (params.SerializeToString(), message.SerializeToString()):
        assert bootstrap.parse(data, flags).shim_cgroup == "/x"
    assert bootstrap.parse(b"", flags).shim_cgroup == ""


@pytest.mark.parametrize(
    ("text", "own", "group"),
    [
        ("{}", False, ""),
        ('{"linux":null,"annotations":null}', False, ""),
        ('{"linux":{"namespaces":[{"type":"pid"}]}}', True, ""),
        ('{"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}}', False, ""),
        ('{"annotations":{"io.kubernetes.cri.sandbox-id":"b","io.containerd.runc.v2.group":"a"}}', False, "a"),
        ('{"annotations":{"io.kubernetes.cri.sandbox-id":"b"}}', False, "b"),
        ('{"hostname":"io.kubernetes.cri.sandbox-id"}', False, ""),
    ],
)
def test_a_spec_tells_of_pids_and_group(tmp_path: Path, text: str, own: bool, group: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert spec.read(str(tmp_path)).has_own_pids is own
    assert bootstrap.group_of(str(tmp_path)) == group


def test_a_line_of_the_log_has_the_form_of_the_daemons() -> None:
    line = journal.line(1_700_000_000_000_000_001, "info", 'a "b"\n', {"id": "c1", "error": "x y"})
    assert line == 'time="2023-11-14T22:13:20.000000001Z" level=info msg="a \\"b\\"\\n" error="x y" id=c1\n'


def test_a_log_without_reader_holds_nobody_up() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    log = journal.Journal(write, debug=False, fields={})
    for _ in range(2000):
        log.info("x" * 100)
    log.debug("never")
    os.close(read)
    log.info("nobody reads")
    os.close(write)
    journal.Journal(-1, debug=True, fields={}).error("nowhere")


def test_a_request_for_a_shim_survives_its_way() -> None:
    request = messages.ShimRequest(
        namespace="n", id="c", address="/a", ttrpc_address="/t", bundle="/b", socket_path="/s", debug=True
    )
    assert messages.decode(messages.encode(request)) == request
    assert request.arguments == [
        "containerd-shim-runc-v2", "-namespace", "n", "-id", "c", "-address", "/a", "-debug",
    ]  # fmt: skip


def test_checkpoint_options_become_flags() -> None:
    given = runc_pb2.CheckpointOptions(exit=True, open_tcp=True, file_locks=True, empty_namespaces=["network"])
    message = AnyMessage(type_url="containerd.runc.v1.CheckpointOptions", value=given.SerializeToString())
    how = Checkpoint.parse("/p", message)
    assert how == Checkpoint("/p", "", exit=True, flags=("--tcp-established", "--file-locks", "--empty-ns", "network"))
    with pytest.raises(InvalidArgument):
        Checkpoint.parse("/p", AnyMessage(type_url="what"))


@pytest.mark.parametrize("action", ["start", "delete", "pause", "resume", "update", "checkpoint", "exec"])
def test_a_refusal_names_action_and_state(action: str) -> None:
    for state in State:
        text = str(refusal(action, state))
        assert text.startswith(f"cannot {action} ")
        assert state in text
