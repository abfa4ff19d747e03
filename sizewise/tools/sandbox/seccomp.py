"""Confines the current process with rlimits, seccomp and Landlock: no files, network or children; Linux only.

A second layer of defense: the interpreter is a sandbox already, and code that escapes it finds nothing to open.
Landlock (kernel 5.13) removes file access, seccomp system calls; rlimits bound memory and written files. Both kernel
interfaces are stable and small; a library for them would be larger than this file.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable, Mapping, Sequence

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
SECCOMP_MODE_FILTER = 2
ALLOW, EPERM = 0x7FFF0000, 0x00050001
LOAD, EQUAL, ABOVE, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: ld abs; jeq, jge, jset by k; ret k
NUMBER, ARCHITECTURE, THIRD = 0, 4, 32  # offsets in struct seccomp_data
PROT_EXEC = 4
X32 = 0x40000000

ARCHITECTURES: Mapping[str, tuple[int, int]] = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> its AUDIT_ARCH number, and the column of the tables below."""

MAPS: Mapping[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed without PROT_EXEC."""
COMPUTE_SYSCALLS: Mapping[str, tuple[int, int]] = {
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "sendto": (44, 206),  # on the inherited socket; no socket can be created
    "recvfrom": (45, 207),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "nanosleep": (35, 101),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""The system calls left to a process that computes and uses its inherited socket. Name -> number per machine."""
OUTWARD_SYSCALLS: Mapping[str, tuple[int, int]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "acct": (163, 89),
    "setsid": (112, 157),
    "setpgid": (109, 154),
}
"""System calls denied to a process that starts one program and talks to it."""

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH = 1
FILES = ((1, 13), (2, 14), (3, 15), (5, 16))
"""Landlock ABI version -> number of file access rights that it handles; all of them are denied."""
EXECUTE, READ_FILE, READ_DIR = 1, 4, 8
O_PATH, O_CLOEXEC = 0o10000000, 0o2000000


def limit_resources(memory: int) -> None:
    """At most `memory` bytes of address space, no written files, no core dumps; child processes inherit the limits."""
    for which, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def confine_to_compute() -> bool:
    """Denies all files, and all system calls but COMPUTE_SYSCALLS and MAPS; False if the kernel cannot do both."""
    return _no_files(()) and _filtered(_only_computing)


def confine_to_programs(programs: Sequence[str]) -> bool:
    """Denies OUTWARD_SYSCALLS, and all files but `programs` and LIBRARIES, which can be read and executed.

    Child processes inherit this. False if the kernel cannot do both.
    """
    return _no_files(programs) and _filtered(_nothing_outward)


def _prctl(*words: object) -> bool:
    given = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in words]
    return bool(ctypes.CDLL(None).prctl(*given) == 0)


def _step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    """One BPF instruction; `yes` and `no`: instructions to skip if its test is true or false."""
    return struct.pack("=HBBI", code, yes, no, k)


def _only_computing(machine: int, column: int) -> bytes:
    steps = [_step(LOAD, ARCHITECTURE), _step(EQUAL, machine, 1), _step(RETURN, EPERM), _step(LOAD, NUMBER)]
    for numbers in COMPUTE_SYSCALLS.values():
        steps += [_step(EQUAL, numbers[column], 0, 1), _step(RETURN, ALLOW)]
    for numbers in MAPS.values():
        steps += [_step(EQUAL, numbers[column], 0, 4), _step(LOAD, THIRD)]
        steps += [_step(ANY_OF, PROT_EXEC, 1), _step(RETURN, ALLOW), _step(RETURN, EPERM)]
    return b"".join([*steps, _step(RETURN, EPERM)])


def _nothing_outward(machine: int, column: int) -> bytes:
    steps = [_step(LOAD, ARCHITECTURE), _step(EQUAL, machine, 1), _step(RETURN, EPERM), _step(LOAD, NUMBER)]
    steps += [_step(ABOVE, X32, 0, 1), _step(RETURN, EPERM)]
    for numbers in OUTWARD_SYSCALLS.values():
        steps += [_step(EQUAL, numbers[column], 0, 1), _step(RETURN, EPERM)]
    return b"".join([*steps, _step(RETURN, ALLOW)])


def _filtered(made: Callable[[int, int], bytes]) -> bool:
    there = ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or there is None:
        return False
    program = made(*there)
    kept = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    said = Program(len(program) // 8, ctypes.addressof(kept))
    return _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) and _prctl(
        PR_SET_SECCOMP,
        SECCOMP_MODE_FILTER,
        ctypes.byref(said),
        0,
        0,
    )


def _no_files(programs: Sequence[str]) -> bool:
    """Whether Landlock is available and denies all files but `programs` and their libraries."""
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        return False
    call = ctypes.CDLL(None).syscall
    version = call(ctypes.c_long(CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    files = (1 << max(rights for since, rights in FILES if since <= version)) - 1
    net, scoped = (3 if version >= 4 else 0), (3 if version >= 6 else 0)  # TCP; abstract sockets and signals
    attributes = struct.pack("=QQQ", files, net, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = call(ctypes.c_long(CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for path in (*programs, *(LIBRARIES if programs else ())):
            rights = EXECUTE | READ_FILE | (READ_DIR if os.path.isdir(path) else 0)
            try:
                at = os.open(path, O_PATH | O_CLOEXEC)
            except OSError:
                continue
            beneath = struct.pack("=Qi", rights, at)
            done = call(ctypes.c_long(ADD_RULE), ctypes.c_int(rules), ctypes.c_int(PATH_BENEATH), beneath, 0)
            os.close(at)
            if done:
                return False
        if not _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            return False
        return bool(call(ctypes.c_long(RESTRICT_SELF), ctypes.c_int(rules), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(rules)


LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/null")
"""What a program needs to start."""
