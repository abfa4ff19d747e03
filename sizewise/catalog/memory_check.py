"""Memory that a GGUF model needs and that this machine has free; decides nothing."""

from __future__ import annotations

import os
from pathlib import Path

from sizewise.catalog.gguf_header import GgufHeader
from sizewise.catalog.memory_estimate import MemoryEstimate, compute_bytes


def estimate_memory(header: GgufHeader, *, context: int, slots: int, batch: int) -> MemoryEstimate:
    """For `slots` concurrent requests with `context` tokens each, read in batches of `batch` tokens."""
    room = compute_bytes(heads=header.heads, vocabulary=header.vocabulary, context=context, slots=slots, batch=batch)
    return MemoryEstimate(
        weights=header.weights_bytes,
        kv_cache=header.kv_cache_bytes_per_token * context * slots,
        compute=room,
    )


def available_memory() -> int | None:
    """Bytes that a new process can use without swapping, within the limits of the system and the control group.

    None if unknown.
    """
    system = _meminfo("MemAvailable")
    if system is None:
        system = _sysconf_memory()
    group = _cgroup_memory()
    known = [bytes_ for bytes_ in (system, group) if bytes_ is not None]
    return min(known) if known else None


def _meminfo(what: str) -> int | None:
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == what:
            return int(rest.split()[0]) * 1024
    return None


def _sysconf_memory() -> int | None:
    """For systems without /proc: three quarters of the physical memory, a rough estimate."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    except (ValueError, OSError):
        return None


def _cgroup_memory() -> int | None:
    """The least memory left by our control group and its parents; page cache counts as free."""
    left = [rest for folder in _cgroup_folders() if (rest := _cgroup_free(folder)) is not None]
    return min(left, default=None)


def _cgroup_folders() -> list[str]:
    """The folders of our control group (version 2, then 1), from the innermost to the root."""
    unified, split = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
    folders = [unified, split]
    for line in _text("/proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        root = unified if not kinds else split if "memory" in kinds.split(",") else ""
        while root and path.strip("/"):
            folders.append(root + path)
            path = path.rpartition("/")[0]
    return folders


def _cgroup_free(folder: str) -> int | None:
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _text(f"{folder}/{limit}").strip(), _text(f"{folder}/{used}").strip()
        if most.isdigit() and now.isdigit() and int(most) < 1 << 60:  # larger: "no limit" in version 1
            return max(0, int(most) - int(now) + _stat(f"{folder}/memory.stat", cache))
    return None


def _stat(path: str, what: str) -> int:
    for line in _text(path).splitlines():
        name, _, count = line.partition(" ")
        if name == what and count.isdigit():
            return int(count)
    return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
