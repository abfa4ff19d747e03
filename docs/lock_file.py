"""The packages of a lock file and their dependencies, from the file alone; knows no index and installs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
UP = REQUIREMENTS / "up.lock"
"""What `make up` installs: everything that runs on a user's machine, and the installation tools."""
BUILD = "-r requirements/build.in"
"""The origin of the installation tools, as written in a lock file."""
OURS = "sizewise (pyproject.toml)"

_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?")


@dataclass(frozen=True)
class Locked:
    """One requirement. `needed_by`: names of packages, or another origin. `hashes`: `sha256:<hex>` each."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def read(lock: Path) -> list[Locked]:
    """Raises ValueError for a line that is neither a pinned requirement, nor a hash, nor a comment."""
    found: list[Locked] = []
    for entry in re.split(r"\n(?=\S)", lock.read_text().strip()):
        head, *rest = entry.splitlines()
        pinned = _PINNED.fullmatch(head)
        lines = [line.strip() for line in rest]
        strange = [line for line in lines if not line.startswith(("--hash=", "#"))]
        if pinned is None or strange:
            raise ValueError(f"{lock.name} has a line that pins nothing: {strange[0] if strange else head!r}")
        hashes = tuple(line.removeprefix("--hash=").rstrip(" \\") for line in lines if line.startswith("--hash="))
        remarks = (line.removeprefix("#").strip().removeprefix("via").strip() for line in lines if line[:1] == "#")
        found.append(
            Locked(pinned["name"], pinned["version"], pinned["marker"] or "", hashes, tuple(filter(None, remarks))),
        )
    return found


def reached(locked: Iterable[Locked], roots: Iterable[str]) -> frozenset[str]:
    """Names of the direct and indirect dependencies of `roots`, including the roots if they are locked."""
    needs: dict[str, set[str]] = {}
    for each in locked:
        for asker in each.needed_by:
            needs.setdefault(asker, set()).add(each.name)
    seen: set[str] = set()
    waiting = set(roots)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= needs.get(name, set()) - seen
    return frozenset(seen & {each.name for each in locked})


def purposes(locked: list[Locked], core: Iterable[str]) -> Mapping[str, str]:
    """Name -> `core`, `extra` (local models, learning) or `install` (only during the installation)."""
    always, running = reached(locked, core), reached(locked, [OURS])
    return {
        each.name: "core" if each.name in always else "extra" if each.name in running else "install" for each in locked
    }
