"""Has the C library allocate as a server of many threads and large bodies needs; frees nothing itself."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""glibc, malloc.h."""
KEPT_BYTES = 8 << 20
"""What may stay free at the end of the heap: 64 requests of 40 KB, in the copies that are made of each."""
OWN_PAGES_BYTES = 1 << 20
"""What is as large comes in pages of its own, and goes back to the system once it is free."""


def set_malloc_options() -> None:
    """Call before there are threads. Elsewhere than on glibc nothing is changed.

    One arena for all threads: glibc gives each one of its own, so that threads need not wait for each other; what a
    thread has freed the others do not use. Ours hold the interpreter's lock anyway, and each thread that reads the
    database kept two megabytes of it: a server grew by 2 MB a minute, though it held no more than before.

    A heap that is not trimmed at each pause: by default what is free past 128 KB goes back to the system at once, and
    with prompts of 40 KB the kernel cleared eight pages anew for each request, 6 % of its CPU.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_ARENA_MAX, 1)
            mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES)
