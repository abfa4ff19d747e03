"""What a model takes in memory and what this machine has left, in bytes; loads nothing, decides nothing."""

from __future__ import annotations

import os
from pathlib import Path

from sizewise.catalog.gguf_header import Header
from sizewise.catalog.memory_estimate import Need, computing


def need(header: Header, *, context: int, slots: int, batch: int) -> Need:
    """For `slots` requests side by side with `context` tokens each, read `batch` tokens at a time."""
    room = computing(heads=header.heads, vocabulary=header.vocabulary, context=context, slots=slots, batch=batch)
    return Need(weights=header.weights, cache=header.cache_per_token * context * slots, compute=room)


def available() -> int | None:
    """Bytes that a new process can take without swapping: what the system and the process's group leave.

    None where the system does not tell.
    """
    system = _meminfo("MemAvailable")
    if system is None:
        system = _by_sysconf()
    group = _group()
    known = [bytes_ for bytes_ in (system, group) if bytes_ is not None]
    return min(known) if known else None


def _meminfo(what: str) -> int | None:
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == what:
            return int(rest.split()[0]) * 1024
    return None


def _by_sysconf() -> int | None:
    """Systems without /proc: three quarters of all memory, for want of a better figure."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    except (ValueError, OSError):
        return None


def _group() -> int | None:
    """The least that the limits of the process's control group and its parents leave; page cache counts as free."""
    left = [rest for folder in _groups() if (rest := _left(folder)) is not None]
    return min(left, default=None)


def _groups() -> list[str]:
    """The folders of our control group (version 2, then 1), from the inmost to the root."""
    unified, split = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
    folders = [unified, split]
    for line in _text("/proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        root = unified if not kinds else split if "memory" in kinds.split(",") else ""
        while root and path.strip("/"):
            folders.append(root + path)
            path = path.rpartition("/")[0]
    return folders


def _left(folder: str) -> int | None:
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _text(f"{folder}/{limit}").strip(), _text(f"{folder}/{used}").strip()
        if most.isdigit() and now.isdigit() and int(most) < 1 << 60:  # above: version 1's way to say "no limit"
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
