"""Has the kernel end a process with its parent."""

from __future__ import annotations

import ctypes
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def end_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that started it ends (Linux; elsewhere a closed socket or
    the end of its job ends it).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(*map(ctypes.c_ulong, (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)))
