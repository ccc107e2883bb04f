"""What `containerd config` prints, ours and stock's, byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pycontainerd.config.dump import dump
from pycontainerd.config.load import load
from pycontainerd.config.model import defaults
from pycontainerd.plugin.all import registrations
from tests.harness import peers
from tests.integration.config.variants import Variants

PLUGINS = registrations()
CONTAINERD = "containerd"

OLD_FILES = {
    "a file that a package of version 1.2 installed": """
root = "/var/lib/containerd"
oom_score = -999
[grpc]
  address = "/run/containerd/containerd.sock"
  uid = 0
  gid = 0
  max_recv_message_size = 16777216
[debug]
  address = "/run/containerd/debug.sock"
  uid = 0
  gid = 0
  level = "warn"
[metrics]
  address = "127.0.0.1:1338"
  grpc_histogram = false
[cgroup]
  path = ""
[plugins]
  [plugins.cgroups]
    no_prometheus = false
  [plugins.cri]
    stream_server_address = "127.0.0.1"
    enable_selinux = false
    sandbox_image = "example.local/pause:3.1"
    stats_collect_period = 10
    systemd_cgroup = false
    [plugins.cri.containerd]
      snapshotter = "overlayfs"
      no_pivot = false
      [plugins.cri.containerd.default_runtime]
        runtime_type = "io.containerd.runtime.v1.linux"
        runtime_engine = ""
    [plugins.cri.cni]
      bin_dir = "/opt/cni/bin"
      conf_dir = "/etc/cni/net.d"
    [plugins.cri.registry.mirrors."docker.io"]
      endpoint = ["https://mirror.example"]
  [plugins.diff-service]
    default = ["walking"]
  [plugins.linux]
    shim = "containerd-shim"
    runtime = "runc"
    shim_debug = false
  [plugins.opt]
    path = "/opt/containerd"
  [plugins.restart]
    interval = "10s"
  [plugins.scheduler]
    pause_threshold = 0.02
    schedule_delay = "0s"
""",
    "a file that Docker's packages install": """
disabled_plugins = ["cri"]
#root = "/var/lib/containerd"
""",
    "a node of Kubernetes, version 2": """
version = 2
imports = ["/etc/containerd/does-not-exist.d/*.toml"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "example.local/pause:3.9"
  max_container_log_line_size = -1
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    discard_unpacked_layers = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      base_runtime_spec = "/etc/containerd/cri-base.json"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true
        BinaryName = "/usr/sbin/runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runsc]
      runtime_type = "io.containerd.runsc.v1"
      pod_annotations = ["dev.gvisor.*"]
      privileged_without_host_devices = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_template = "/etc/cni/template"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
    [plugins."io.containerd.grpc.v1.cri".registry.headers]
      X-Meta-Source-Client = ["azure/aks"]
    [plugins."io.containerd.grpc.v1.cri".registry.configs."example.local".auth]
      username = "u"
      password = "p"
[metrics]
  address = "0.0.0.0:10257"
""",
    "lazy pulling by a proxy, version 2": """
version = 2
[proxy_plugins]
  [proxy_plugins.stargz]
    type = "snapshot"
    address = "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock"
  [proxy_plugins.stargz.exports]
    root = "/var/lib/containerd-stargz-grpc/"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "stargz"
  disable_snapshot_annotations = false
[plugins."io.containerd.snapshotter.v1.devmapper"]
  pool_name = "containerd-pool"
  base_image_size = "8192MB"
[stream_processors."io.containerd.ocicrypt.decoder.v1.tar.gzip"]
  accepts = ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted"]
  returns = "application/vnd.oci.image.layer.v1.tar+gzip"
  path = "/usr/local/bin/ctd-decoder"
[timeouts]
  "io.containerd.timeout.shim.cleanup" = "10s"
""",
    "version 3 with sockets of its own": """
version = 3
root = "/data/containerd"
[grpc]
  address = "/run/own/containerd.sock"
  gid = 998
  tcp_address = "127.0.0.1:10010"
  tcp_tls_cert = "/etc/ssl/c.pem"
  tcp_tls_key = "/etc/ssl/k.pem"
[ttrpc]
  uid = 1
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "example.local/pause:3.10"
[plugins."io.containerd.runtime.v2.task"]
  sched_core = true
""",
}


def stock(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([peers.stock(CONTAINERD), *arguments], capture_output=True, text=True, check=False)


def ours(path: Path) -> str:
    return dump(load(str(path), PLUGINS, lenient=True), PLUGINS)


def test_the_default_configuration_is_that_of_stock() -> None:
    assert dump(defaults(), PLUGINS) == stock("config", "default").stdout


def test_our_executable_prints_what_stock_prints(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(OLD_FILES["a node of Kubernetes, version 2"])
    for action in ("default", "dump", "migrate"):
        words = ["--config", str(file), "config", action]
        printed = subprocess.run([peers.ours(CONTAINERD), *words], capture_output=True, text=True, check=True)
        assert printed.stdout == stock(*words).stdout


@pytest.mark.parametrize("text", OLD_FILES.values(), ids=OLD_FILES)
def test_an_old_file_migrates_to_what_stock_prints(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert ours(file) == stock("--config", str(file), "config", "migrate").stdout


@pytest.mark.parametrize("text", OLD_FILES.values(), ids=OLD_FILES)
def test_what_was_migrated_stays_as_it_is(tmp_path: Path, text: str) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(text)
    second.write_text(ours(first))
    assert ours(second) == second.read_text()


def test_generated_files_and_their_drop_ins_mean_what_they_mean_to_stock(scratch: Path) -> None:
    variants = Variants(seed=20260801)
    different = []
    for number in range(120):
        version = variants.version()
        imports: tuple[str, ...] = ()
        if number % 3 == 0:
            for name in ("a", "b"):
                older = min(version, variants.version()) if version else version
                (scratch / f"{number}-{name}.drop").write_text(variants.text(older))
            imports = (f"{number}-*.drop",)
        file = scratch / f"{number}.toml"
        file.write_text(variants.text(version, imports=imports))
        if ours(file) != stock("--config", str(file), "config", "dump").stdout:
            different.append(file.read_text())
    assert different == []
