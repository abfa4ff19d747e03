"""Free memory of a machine, from trees of files as Linux shows them: the tightest limit of the control group counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.catalog.memory_check import available_memory

GB = 10**9
MACHINE = {"proc/meminfo": f"MemTotal: 32000000 kB\nMemAvailable: {16 * GB // 1024} kB\n"}


def limited(folder: str, limit: str, used: int = 0, cache: int = 0, name: str = "max") -> dict[str, str]:
    """A group of version 2."""
    stat = f"anon 5\ninactive_file {cache}\nactive_file 7\n"
    files = {f"memory.{name}": limit, "memory.current": str(used), "memory.stat": stat}
    return {f"sys/fs/cgroup/{folder}/{file}": text for file, text in files.items()}


def split(limit: int, used: int, cache: int = 0) -> dict[str, str]:
    """A group of version 1."""
    files = {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": used,
        "memory.stat": f"total_inactive_file {cache}\n",
    }
    return {f"sys/fs/cgroup/memory/pod/box/{file}": str(text) for file, text in files.items()}


BOX = {"proc/self/cgroup": "0::/pod/box\n"}
SPLIT = {"proc/self/cgroup": "5:cpu,memory:/pod/box\n0::/\n"}
TREES: dict[str, tuple[dict[str, str], int]] = {
    "no control group": ({}, 16 * GB),
    "a container of 4 GB sees its own group as the root": (limited(".", f"{4 * GB}", GB), 3 * GB),
    "page cache that can be dropped counts as free": (limited(".", f"{4 * GB}", 3 * GB, 2 * GB), 3 * GB),
    "a group below the root": (BOX | limited("pod/box", f"{4 * GB}"), 4 * GB),
    "the parent is tighter": (BOX | limited("pod/box", f"{8 * GB}") | limited("pod", f"{2 * GB}"), 2 * GB),
    "no limit": (BOX | limited("pod/box", "max"), 16 * GB),
    "a limit from which it is slowed down": (BOX | limited("pod/box", f"{3 * GB}", name="high"), 3 * GB),
    "more is used than allowed": (BOX | limited("pod/box", f"{GB}", 2 * GB), 0),
    "the machine has less than the limit": (BOX | limited("pod/box", f"{64 * GB}"), 16 * GB),
    "version 1": (SPLIT | split(4 * GB, GB, GB // 2), 3 * GB + GB // 2),
    "version 1 without a limit": (SPLIT | split(2**63 - 4096, GB), 16 * GB),
    "a limit that is no number": (BOX | limited("pod/box", "lots"), 16 * GB),
}


@pytest.mark.parametrize("name", TREES)
def test_the_tightest_limit_counts(name: str, tmp_path: Path) -> None:
    tree, left = TREES[name]
    for path, text in (MACHINE | tree).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = available_memory(tmp_path)
    assert found is not None and found // 1024 == left // 1024


def test_a_system_without_these_files_answers_too(tmp_path: Path) -> None:
    found = available_memory(tmp_path)
    assert found is None or found > 0
