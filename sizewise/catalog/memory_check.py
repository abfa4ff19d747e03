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


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a new process can use without swapping, within the limits of the system and the control group.

    None if unknown. `root`: the folder that holds `proc` and `sys`.
    """
    system = _meminfo(root, "MemAvailable")
    if system is None:
        system = _sysconf_memory()
    group = _cgroup_memory(root)
    known = [bytes_ for bytes_ in (system, group) if bytes_ is not None]
    return min(known) if known else None


def _meminfo(root: Path, what: str) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
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


def _cgroup_memory(root: Path) -> int | None:
    """The least memory left by our control group and its parents; page cache counts as free."""
    left = [rest for folder in _cgroup_folders(root) if (rest := _cgroup_free(folder)) is not None]
    return min(left, default=None)


def _cgroup_folders(root: Path) -> list[Path]:
    """The folders of our control group (version 2, then 1), from the innermost to the root."""
    unified, split = root / "sys/fs/cgroup", root / "sys/fs/cgroup/memory"
    folders = [unified, split]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        mount = unified if not kinds else split if "memory" in kinds.split(",") else None
        while mount is not None and path.strip("/"):
            folders.append(mount / path.strip("/"))
            path = path.rpartition("/")[0]
    return folders


def _cgroup_free(folder: Path) -> int | None:
    """Bytes left by one group; above `memory.high` it is slowed down, above the others it is killed."""
    left = []
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.high", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _text(folder / limit).strip(), _text(folder / used).strip()
        if most.isdigit() and now.isdigit() and int(most) < 1 << 60:  # larger: "no limit" in version 1
            left.append(max(0, int(most) - int(now) + _stat(folder / "memory.stat", cache)))
    return min(left, default=None)


def _stat(path: Path, what: str) -> int:
    for line in _text(path).splitlines():
        name, _, count = line.partition(" ")
        if name == what and count.isdigit():
            return int(count)
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
