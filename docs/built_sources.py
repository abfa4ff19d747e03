"""Writes SOURCES beside built files of the package: which sources they were built from, and the hash of each of them.

python -m docs.built_sources studio
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = "SOURCES"
NOT_BUILT_FROM = frozenset({"node_modules", "tests", ".svelte-kit"})
"""Folders of the sources that are no part of a build."""


@dataclass(frozen=True)
class Build:
    """`sources`: the folder that `built` is made from."""

    sources: Path
    built: Path

    def text(self) -> str:
        """What SOURCES holds, of the files as they are now."""
        lines = [f"{_digest(self.sources)}  {self.sources.name}"]
        lines += [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(self.built.iterdir())]
        return "\n".join(line for line in lines if not line.endswith(f"  {SOURCES}")) + "\n"


STUDIO = Build(ROOT / "web", ROOT / "sizewise" / "studio" / "built")
EDGE = Build(ROOT / "edge", ROOT / "sizewise" / "edge" / "built")
BUILDS: Mapping[str, Build] = {"studio": STUDIO, "edge": EDGE}


def _paths(sources: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(sources):
        inner[:] = sorted(set(inner) - NOT_BUILT_FROM)
        yield from (Path(folder, name) for name in sorted(names))


def _digest(sources: Path) -> str:
    """Of names and contents, each with its length, so that none can be taken for another."""
    found = sha256()
    for path in sorted(_paths(sources)):
        name, content = path.relative_to(sources).as_posix().encode(), path.read_bytes()
        found.update(b"%d %d " % (len(name), len(content)) + name + content)
    return found.hexdigest()


if __name__ == "__main__":
    build = BUILDS[sys.argv[1]]
    (build.built / SOURCES).write_text(build.text())
