"""Runtime specs: read, written in stock's order, built by steps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.oci import apparmor, building, capabilities, devices, seccomp, spec
from pycontainerd.oci.defaults import default_spec
from pycontainerd.oci.image import ContainerConfig
from pycontainerd.oci.spec import IDMapping, Mount, Namespace, Process, Spec
from pycontainerd.oci.users import Accounts, set_additional_gids, set_user

FULL = json.loads("""
{"ociVersion": "1.3.0",
 "process": {"terminal": true, "consoleSize": {"height": 1, "width": 2},
  "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3], "username": "u"},
  "args": ["a"], "commandLine": "cl", "env": ["A=B"], "cwd": "/c",
  "capabilities": {"bounding": ["B"], "effective": ["E"], "inheritable": ["I"], "permitted": ["P"], "ambient":
  ["A"]}, "rlimits": [{"type": "RLIMIT_X", "hard": 2, "soft": 1}], "noNewPrivileges": true, "apparmorProfile":
  "ap", "oomScoreAdj": 5, "scheduler": {"policy": "SCHED_OTHER", "nice": 1, "priority": 2}, "selinuxLabel":
  "sl", "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1}, "execCPUAffinity": {"initial": "0",
  "final": "1"}},
 "root": {"path": "/r", "readonly": true}, "hostname": "hn", "domainname": "dn",
 "mounts": [{"destination": "/d", "type": "t", "source": "s", "options": ["o"],
   "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}], "gidMappings": [{"containerID": 0, "hostID":
   1, "size": 2}]}],
 "hooks": {"prestart": [{"path": "/p"}], "createRuntime": [{"path": "/p"}], "createContainer": [{"path":
 "/p"}],
   "startContainer": [{"path": "/p"}], "poststart": [{"path": "/p"}],
   "poststop": [{"path": "/p", "args": ["a"], "env": ["e"], "timeout": 5}]},
 "annotations": {"a": "1", "b": "2"},
 "linux": {"uidMappings": [{"containerID": 0, "hostID": 2, "size": 1}],
   "gidMappings": [{"containerID": 0, "hostID": 2, "size": 1}], "sysctl": {"k": "v"},
   "resources": {"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 0,
   "minor": 2}],
     "memory": {"limit": 0, "reservation": 5, "swap": 4, "kernel": 3, "kernelTCP": 2, "swappiness": 0,
       "disableOOMKiller": false, "useHierarchy": true, "checkBeforeUpdate": true},
     "cpu": {"shares": 6, "quota": -1, "burst": 4, "period": 3, "realtimeRuntime": 2, "realtimePeriod": 1,
       "cpus": "c", "mems": "m", "idle": 1},
     "pids": {"limit": 3},
     "blockIO": {"weight": 1, "leafWeight": 2,
       "weightDevice": [{"major": 1, "minor": 2, "weight": 3, "leafWeight": 4}],
       "throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 3}],
       "throttleWriteBpsDevice": [{"major": 1, "minor": 2, "rate": 3}],
       "throttleReadIOPSDevice": [{"major": 1, "minor": 2, "rate": 3}],
       "throttleWriteIOPSDevice": [{"major": 1, "minor": 2, "rate": 3}]},
     "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
     "network": {"classID": 1, "priorities": [{"name": "e", "priority": 1}]},
     "rdma": {"r": {"hcaHandles": 1, "hcaObjects": 2}}, "unified": {"a": "b"}},
   "cgroupsPath": "/cg", "namespaces": [{"type": "pid", "path": "/p"}],
   "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 438, "uid": 0, "gid": 0}],
   "netDevices": {"eth0": {"name": "e1"}},
   "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86"],
     "flags": ["F"], "listenerPath": "lp", "listenerMetadata": "lm",
     "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
       "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ"}]}]},
   "rootfsPropagation": "shared", "maskedPaths": ["/m"], "readonlyPaths": ["/ro"], "mountLabel": "ml",
   "intelRdt": {"closID": "c", "schemata": ["x"], "l3CacheSchema": "l", "memBwSchema": "m",
   "enableMonitoring": true}, "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags":
   ["MPOL_F_STATIC_NODES"]}, "personality": {"domain": "LINUX", "flags": ["f"]},
   "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 2}}},
 "windows": {"layerFolders": ["z", "a"]}}
""")
"""Every member, in the order in which stock writes it."""


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def reordered(value: object) -> object:
    """The same with members of objects the other way round."""
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items()) if key != "windows"} | (
            {"windows": value["windows"]} if "windows" in value else {}
        )
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


def test_a_full_spec_is_written_as_stock_writes_it_however_it_was_ordered() -> None:
    assert spec.encode(spec.decode(compact(FULL))) == compact(FULL)
    assert spec.encode(spec.decode(compact(reordered(FULL)))) == compact(FULL)


def test_members_that_are_always_written_are_written_empty() -> None:
    assert spec.encode(Spec(process=Process())) == (b'{"ociVersion":"","process":{"user":{"uid":0,"gid":0},"cwd":""}}')


def test_null_is_absent_and_unknown_members_go() -> None:
    data = b'{"ociVersion":"1.0.0","process":{"user":{},"args":null,"cwd":"/","x":1},"mounts":null,"linux":null,"y":{}}'
    assert spec.encode(spec.decode(data)) == b'{"ociVersion":"1.0.0","process":{"user":{"uid":0,"gid":0},"cwd":"/"}}'


def test_text_is_escaped_as_go_escapes_it() -> None:
    written = spec.encode(Spec(annotations={"k": "<&>\u2028"}))
    assert written == b'{"ociVersion":"","annotations":{"k":"\\u003c\\u0026\\u003e\\u2028"}}'
    assert json.loads(written)["annotations"]["k"] == "<&>\u2028"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"process": 1}', b'{"process": {"args": "x"}}', b"\xff", b"[" * 100_000, b'{"a":1,}']
)
def test_what_is_no_spec_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match=r"^config: "):
        spec.decode(data, name="config")


def test_the_default_spec_of_an_empty_id_lies_in_the_cgroup_of_its_namespace() -> None:
    assert default_spec("n", "").the_linux().cgroups_path == "/n"
    assert default_spec("n", "c").the_linux().cgroups_path == "/n/c"


names = st.text(st.sampled_from("ABC"), min_size=1, max_size=2)
entries = st.one_of(names, st.builds(lambda key, value: f"{key}={value}", names, names))


@given(
    st.lists(st.builds(lambda key, value: f"{key}={value}", names, names), unique_by=lambda e: e[0]), st.lists(entries)
)
def test_env_is_the_last_word_about_each_variable(base: list[str], changes: list[str]) -> None:
    expected = dict(entry.split("=") for entry in base)
    known = set(expected)
    for change in changes:
        key, equals, value = change.partition("=")
        if key in known:
            expected[key] = value if equals else None  # type: ignore[assignment]  # removed
        elif equals:
            expected[key] = value
    result = dict(entry.split("=") for entry in building.merge_env(base, changes))
    assert result == {key: value for key, value in expected.items() if value is not None}


def test_mounts_at_one_place_replace_the_default() -> None:
    built = default_spec("n", "c")
    building.replace_mounts(built, [Mount("/run", "bind", "/x")])
    assert [mount for mount in built.mounts if mount.destination == "/run"] == [Mount("/run", "bind", "/x")]


def test_an_image_config_fills_the_process(tmp_path: Path) -> None:
    built = default_spec("n", "c")
    built.the_process().env = ["B=3", "N=1"]
    config = ContainerConfig(env=("A=1", "B=2"), entrypoint=("e",), cmd=("c",), working_dir="/w")
    building.apply_image_config(built, config, [], Accounts(str(tmp_path)))
    process = built.the_process()
    assert (process.args, process.env, process.cwd) == (["e", "c"], ["A=1", "B=3", "N=1"], "/w")
    building.apply_image_config(built, config, ["x"], Accounts(str(tmp_path)))
    assert process.args == ["e", "x"]


def test_capabilities_are_added_once_and_dropped_everywhere() -> None:
    built = default_spec("n", "c")
    building.add_capabilities(built, ["CAP_BPF", "CAP_BPF", "CAP_KILL"])
    building.drop_capabilities(built, ["CAP_KILL"])
    held = built.the_process().capabilities
    assert held is not None
    assert held.bounding == held.effective == held.permitted
    assert held.bounding.count("CAP_BPF") == 1
    assert "CAP_KILL" not in held.bounding


def test_a_namespace_is_joined_instead_of_made() -> None:
    built = default_spec("n", "c")
    building.set_namespace(built, "network", "/x")
    building.set_namespace(built, "user", "/y")
    assert built.the_linux().namespaces[4:] == [Namespace("network", "/x"), Namespace("user", "/y")]


def test_mapped_ids_mean_a_user_namespace() -> None:
    built = default_spec("n", "c")
    building.map_ids(built, [IDMapping(0, 1000, 1)], [IDMapping(0, 2000, 1)])
    assert Namespace("user") in built.the_linux().namespaces


def test_our_own_capabilities_are_what_the_kernel_says() -> None:
    status = Path("/proc/self/status").read_text()
    bits = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    assert len(capabilities.current()) == (bits & (1 << len(capabilities.NAMES)) - 1).bit_count()


def test_a_device_is_described_by_its_node() -> None:
    null = devices.device_of("/dev/null", "/dev/other")
    assert (null.path, null.type, null.major, null.minor) == ("/dev/other", "c", 1, 3)


def test_what_is_no_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument):
        devices.device_of(str(tmp_path / "file"))
    with pytest.raises(NotFound):
        devices.device_of(str(tmp_path / "nothing"))
    assert devices.devices_below(str(tmp_path)) == []


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "s390x", "riscv64", "unheard-of"])
def test_without_sys_admin_no_namespace_is_made(machine: str) -> None:
    profile = seccomp.default_profile(capabilities.DEFAULT, machine=machine, kernel=(6, 1))
    rules = {name: rule for rule in profile.syscalls for name in rule.names}
    assert rules["clone"].args[0].index == (1 if machine == "s390x" else 0)
    assert rules["clone3"].action == seccomp.ERRNO
    assert "unshare" not in rules
    admin = seccomp.default_profile(["CAP_SYS_ADMIN"], machine=machine, kernel=(6, 1))
    allowed = {name for rule in admin.syscalls if rule.action == seccomp.ALLOW and not rule.args for name in rule.names}
    assert {"clone", "clone3", "unshare", "mount"} <= allowed


def test_an_old_kernel_lets_nobody_trace() -> None:
    old = seccomp.default_profile([], machine="x86_64", kernel=(4, 7))
    assert not any("ptrace" in rule.names for rule in old.syscalls)


def test_the_default_apparmor_profile_has_its_name() -> None:
    text = apparmor.default_profile("my-profile")
    assert "profile my-profile flags=" in text
    assert "peer=my-profile" in text


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a{"])
def test_an_apparmor_name_can_not_break_out(name: str) -> None:
    with pytest.raises(InvalidArgument):
        apparmor.load_default_profile(name)


PASSWD = "root:x:0:0:root:/root:/bin/sh\n\nuser:x:1000:100:::\nbroken\nodd:x:x:x::\n"  # noqa: S105 - a file of users
GROUP = "root:x:0:\nusers:x:100:\nwheel:x:10:root,user\nmore:x:7:user\nnone::9\n"


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return Accounts(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "uid", "gid", "additional"),
    [
        ("user", 1000, 100, [100, 10, 7]),
        ("1000", 1000, 100, [100, 10, 7]),
        ("root", 0, 0, [0, 10]),
        ("4242", 4242, 0, [0]),
        ("user:wheel", 1000, 10, [10]),
        ("1000:7", 1000, 7, [7]),
        (":10", 0, 10, [10]),
        ("1000:", 1000, 0, [0]),
        ("1:999", 1, 999, [999]),
    ],
)
def test_a_user_is_looked_up(accounts: Accounts, text: str, uid: int, gid: int, additional: list[int]) -> None:
    process = Process()
    set_user(process, text, accounts)
    set_additional_gids(process, text, accounts)
    assert (process.user.uid, process.user.gid, process.user.additional_gids) == (uid, gid, additional)


@pytest.mark.parametrize("text", ["nobody", "user:nogroup", "nobody:wheel"])
def test_a_name_that_the_image_does_not_know_is_not_found(accounts: Accounts, text: str) -> None:
    with pytest.raises(NotFound):
        set_user(Process(), text, accounts)


@pytest.mark.parametrize("text", ["a:b:c", "-1", "2147483648", "0:-1"])
def test_what_is_no_user_is_refused(accounts: Accounts, text: str) -> None:
    with pytest.raises(InvalidArgument):
        set_user(Process(), text, accounts)


def test_an_image_without_users_knows_numbers_only(tmp_path: Path) -> None:
    nobody = Accounts(str(tmp_path))
    process = Process()
    set_user(process, "5", nobody)
    assert (process.user.uid, process.user.gid) == (5, 0)
    with pytest.raises(NotFound):
        set_user(process, "user", nobody)


def test_no_link_of_an_image_leads_to_the_host_s_users(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")
    (tmp_path / "etc/group").symlink_to("../../../../../../../etc/group")
    looping = Accounts(str(tmp_path))
    with pytest.raises(OSError, match="etc/passwd"):
        _ = looping.accounts
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "outside").mkdir()
    (tmp_path / "etc/passwd").symlink_to(f"{tmp_path}/outside/passwd")
    assert Accounts(str(tmp_path)).accounts == []


def test_a_fifo_for_users_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    assert Accounts(str(tmp_path)).accounts == []


def test_endless_users_are_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    with (tmp_path / "etc/passwd").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InvalidArgument, match="longer than"):
        _ = Accounts(str(tmp_path)).accounts
