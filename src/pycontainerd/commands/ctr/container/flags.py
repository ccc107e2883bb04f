"""The flags that say what a container is."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import SNAPSHOTTER
from pycontainerd.commands.ctr.flags import BOOL, FLOAT, INT, INT64, INTS, STRINGS, UINT64, Flag

RUNC = "io.containerd.runc.v2"

RUNTIME_FLAGS = (
    Flag("runtime", usage="Runtime: name of a shim, or path of one", default=RUNC),
    Flag("runtime-config-path", usage="Config file for a runtime other than runc"),
    Flag("runc-binary", usage="OCI runtime that the runc shim executes"),
    Flag("runc-root", usage="Directory in which the OCI runtime keeps its state"),
    Flag("runc-systemd-cgroup", BOOL, "Let systemd manage the cgroup; needs --cgroup"),
)

CONTAINER_FLAGS = (
    SNAPSHOTTER,
    Flag("snapshotter-label", STRINGS, "Label of the container's snapshot, as key=value"),
    Flag("config,c", usage="File with the runtime spec, instead of a generated one"),
    Flag("cwd", usage="Directory of the process"),
    Flag("env", STRINGS, "Environment variable, as KEY=value; a bare KEY removes one of --env-file"),
    Flag("env-file", usage="File of environment variables, one KEY=value a line"),
    Flag("label", STRINGS, "Label of the container, as key=value"),
    Flag("annotation", STRINGS, "Annotation of the spec, as key=value"),
    Flag("mount", STRINGS, "Mount, as type=bind,src=/from,dst=/to,options=rbind:ro"),
    Flag("net-host", BOOL, "Share the network of the host"),
    Flag("privileged", BOOL, "Give all capabilities and devices, hide nothing"),
    Flag("read-only", BOOL, "Make the root file system read-only"),
    Flag("sandbox", usage="Sandbox that the container belongs to"),
    Flag("tty,t", BOOL, "Give the process a terminal"),
    Flag("with-ns", STRINGS, "Namespace to join, as type:path"),
    Flag("pid-file", usage="File to write the pid of the process to"),
    Flag("gpus", INTS, "GPU to add, by its number"),
    Flag("allow-new-privs", BOOL, "Let set-uid programs gain privileges"),
    Flag("memory-limit", UINT64, "Memory limit in bytes; 0 for none"),
    Flag("cap-add", STRINGS, "Capability to add, with its prefix CAP_"),
    Flag("cap-drop", STRINGS, "Capability to drop, with its prefix CAP_"),
    Flag("seccomp", BOOL, "Apply the default seccomp profile"),
    Flag("seccomp-profile", usage="File with a seccomp profile; needs --seccomp"),
    Flag("apparmor-default-profile", usage="Name under which the default AppArmor profile is loaded and used"),
    Flag("apparmor-profile", usage="AppArmor profile to use"),
    Flag("blockio-config-file", usage="File that defines the classes of --blockio-class"),
    Flag("blockio-class", usage="Class of block I/O"),
    Flag("rdt-class", usage="Class of Intel RDT"),
    Flag("hostname", usage="Host name of the container"),
    Flag("user,u", usage="User and group, as name|uid[:group|gid]"),
    Flag("rootfs", BOOL, "Take a directory instead of an image"),
    Flag("no-pivot", BOOL, "Enter the root file system without pivot_root"),
    Flag("cpu-quota", INT64, "Microseconds of CPU in each period; -1 for no limit", default=-1),
    Flag("cpu-period", UINT64, "Length of a period in microseconds"),
    Flag("rootfs-propagation", usage="How mounts below the root file system propagate"),
    Flag("device", STRINGS, "Device to add, or a directory of devices"),
)

RUN_FLAGS = (
    Flag("rm", BOOL, "Remove the container after it has run"),
    Flag("null-io", BOOL, "Throw away its output, give it no input"),
    Flag("log-uri", usage="Where the shim writes the output: file:///path or binary:///program"),
    Flag("detach,d", BOOL, "Leave it running"),
    Flag("fifo-dir", usage="Directory for the fifos of its input and output"),
    Flag("cgroup", usage="Path of the cgroup; empty for none"),
    Flag("platform", usage="Platform of the image to run"),
    Flag("cni", BOOL, "Set up its network with CNI plugins"),
    Flag("sync-fs", BOOL, "Flush the file system after unpacking"),
    Flag("dump-config", usage="File to write the runtime spec to"),
    Flag("uidmap", STRINGS, "Map of user ids, as container-id:host-id:size"),
    Flag("gidmap", STRINGS, "Map of group ids, as container-id:host-id:size"),
    Flag("remap-labels", BOOL, "Let the snapshotter map the ids of the root file system"),
    Flag("privileged-without-host-devices", BOOL, "Give a privileged container no devices"),
    Flag("cpus", FLOAT, "Number of CPUs that it may use at a time"),
    Flag("cpu-shares", INT, "Weight of its CPU time against others'", default=1024),
    Flag("cpuset-cpus", usage="CPUs that it may use, as 0-3,7"),
    Flag("cpuset-mems", usage="Memory nodes that it may use"),
    Flag("rlimit-nofile", usage="Limit of open files, as soft[:hard]"),
)
