"""Taking system calls from this process, for good; see seccomp(2).

A filter is a list of calls that fail with an error number; everything else is allowed. New processes are a matter of
flags, so threads may still be started where `clone` is restricted.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Mapping
from typing import Final

from pycontainerd.system import prctl

SECCOMP_MODE_FILTER: Final = 2
SECCOMP_RET_KILL_PROCESS: Final = 0x80000000
SECCOMP_RET_ERRNO: Final = 0x00050000
SECCOMP_RET_ALLOW: Final = 0x7FFF0000

CLONE_THREAD: Final = 0x10000

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_X32_BIT: Final = 0x40000000

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER_OR_EQUAL: Final = 0x35
_JUMP_SET: Final = 0x45
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_FIRST_ARGUMENT_AT: Final = 16

_INSTRUCTION: Final = struct.Struct("=HBBI")

NUMBERS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # name: (x86_64, the generic table of aarch64 and riscv64); None where there is no such call
    "accept": (43, 202), "accept4": (288, 242), "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171),
    "bind": (49, 200), "bpf": (321, 280), "chroot": (161, 51), "clock_adjtime": (305, 266),
    "clock_settime": (227, 112), "clone3": (435, 435), "connect": (42, 203), "delete_module": (176, 106),
    "execve": (59, 221), "execveat": (322, 281), "fanotify_init": (300, 262), "finit_module": (313, 273),
    "fork": (57, None), "fsconfig": (431, 431), "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433),
    "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, None), "iopl": (172, None), "kcmp": (312, 272),
    "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219), "kill": (62, 129),
    "listen": (50, 201), "lookup_dcookie": (212, 18), "mount": (165, 40), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "perf_event_open": (298, 241), "personality": (135, 92),
    "pidfd_getfd": (438, 438), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pivot_root": (155, 41),
    "process_madvise": (440, 440), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "quotactl_fd": (443, 443), "reboot": (169, 142),
    "request_key": (249, 218), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170),
    "socket": (41, 198), "socketpair": (53, 199), "swapoff": (168, 225), "swapon": (167, 224),
    "syslog": (103, 116), "tgkill": (234, 131), "tkill": (200, 130), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vfork": (58, None), "vhangup": (153, 58),
}  # fmt: skip

_CLONE: Final = (56, 220)


def _column() -> int:
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    return 0 if machine == "x86_64" else 1


def program(denied: Mapping[str, int], *, threads_only: bool) -> bytes:
    """A BPF program that lets each call in *denied* fail with its error number; *threads_only*: no new processes.

    Raises OSError (ENOSYS) on machines unknown here.
    """
    column = _column()
    by_error: dict[int, list[int]] = {}
    for name, error in denied.items():
        number = NUMBERS[name][column]
        if number is not None:
            by_error.setdefault(error, []).append(number)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[platform.machine()]),
        (_RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_GREATER_OR_EQUAL, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.ENOSYS),
    ]
    for error, numbers in by_error.items():
        for number in numbers:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, SECCOMP_RET_ERRNO | error)]
    if threads_only:
        code += [
            (_JUMP_EQUAL, 0, 3, _CLONE[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_JUMP_SET, 1, 0, CLONE_THREAD),
            (_RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM),
        ]
    code.append((_RETURN, 0, 0, SECCOMP_RET_ALLOW))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def install(code: bytes) -> None:
    """Puts the filter on the calling thread and those that it starts from now on; it can't be taken off."""

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = _Program(len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    prctl.set_no_new_privileges()
    prctl.prctl(prctl.PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filter_))
