"""The default seccomp profile: which system calls a container may make, by its capabilities, machine and
kernel.

The lists are those that stock applies with `--seccomp`. What is not listed fails with EPERM.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from pycontainerd.oci.spec import Seccomp, SeccompArgument, SeccompRule

ALLOW: Final = "SCMP_ACT_ALLOW"
ERRNO: Final = "SCMP_ACT_ERRNO"
_ENOSYS: Final = 38

_ALWAYS: Final = """
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
    fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list
    getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr
    getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link
    linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat lstat64 madvise membarrier memfd_create
    memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall map_shadow_stack mmap mmap2
    mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall
    munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl
    pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
    sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
    sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area
    set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack
    signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill
    truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
"""
_AF_VSOCK: Final = 40
_PERSONALITIES: Final = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, each with UNAME26, and the question for the present one."""

_NEW_NAMESPACES: Final = 0x7E020000
"""All CLONE_NEW* flags that clone(2) takes."""

_OF_CAPABILITY: Final = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount"
        " open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
_OF_MACHINE: Final = {
    "x86_64": "arch_prctl modify_ldt",
    "i686": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "ppc64le": "sync_file_range2 swapcontext",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "riscv64": "riscv_flush_icache",
}
_ARCHITECTURES: Final = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"),
    "mips64": ("SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32"),
    "s390x": ("SCMP_ARCH_S390", "SCMP_ARCH_S390X"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "loongarch64": ("SCMP_ARCH_LOONGARCH64",),
}
_PTRACE_SAFE_SINCE: Final = (4, 8)
"""Before, ptrace could be used to get round seccomp: CVE-2019-2054."""


def default_profile(
    capabilities: Iterable[str], *, machine: str | None = None, kernel: tuple[int, int] | None = None
) -> Seccomp:
    """The profile for a process with *capabilities* in its bounding set, on this *machine* and *kernel* by
    default.
    """
    machine = machine or os.uname().machine
    kernel = kernel or kernel_version()
    rules = [_allow(*_ALWAYS.split()), *_sockets(), *(_allow("personality", _is(0, value)) for value in _PERSONALITIES)]
    if kernel >= _PTRACE_SAFE_SINCE:
        rules.append(_allow("process_vm_readv", "process_vm_writev", "ptrace"))
    if machine in _OF_MACHINE:
        rules.append(_allow(*_OF_MACHINE[machine].split()))
    held = list(capabilities)
    rules += [_allow(*_OF_CAPABILITY[name].split()) for name in held if name in _OF_CAPABILITY]
    if "CAP_SYS_ADMIN" not in held:
        flags = SeccompArgument(1 if machine == "s390x" else 0, _NEW_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ")
        rules.append(_allow("clone", flags))
        # Its flags lie in memory, out of a filter's sight: glibc falls back to clone on ENOSYS.
        rules.append(SeccompRule(["clone3"], ERRNO, _ENOSYS))
    return Seccomp(ERRNO, architectures=list(_ARCHITECTURES.get(machine, ())), syscalls=rules)


def kernel_version() -> tuple[int, int]:
    """Major and minor number of the running kernel."""
    major, minor, *_ = os.uname().release.split("-")[0].split(".")
    return int(major), int(minor)


def _sockets() -> list[SeccompRule]:
    # All families but AF_ALG (38) and AF_VSOCK (40).
    return [
        _allow("socket", SeccompArgument(0, 38, 0, "SCMP_CMP_LT")),
        _allow("socket", _is(0, 39)),
        _allow("socket", SeccompArgument(0, _AF_VSOCK, 0, "SCMP_CMP_GT")),
    ]


def _is(index: int, value: int) -> SeccompArgument:
    return SeccompArgument(index, value, 0, "SCMP_CMP_EQ")


def _allow(*names: str | SeccompArgument) -> SeccompRule:
    return SeccompRule(
        [name for name in names if isinstance(name, str)],
        ALLOW,
        args=[name for name in names if isinstance(name, SeccompArgument)],
    )
