"""Writes SOURCES beside the built studio: which sources it was built from, and the hash of each of its files.

python -m docs.studio_sources
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
WEB = ROOT / "web"
BUILT = ROOT / "sizewise" / "studio" / "built"
SOURCES = "SOURCES"
NOT_BUILT_FROM = frozenset({"node_modules", "tests", ".svelte-kit"})
"""Folders of web/ that are no part of a build."""


def text() -> str:
    """What SOURCES holds, of the files as they are now."""
    lines = [f"{_digest(_sources())}  web"]
    lines += [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(BUILT.iterdir())]
    return "\n".join(line for line in lines if not line.endswith(f"  {SOURCES}")) + "\n"


def _sources() -> Iterator[Path]:
    for folder, inner, names in os.walk(WEB):
        inner[:] = sorted(set(inner) - NOT_BUILT_FROM)
        yield from (Path(folder, name) for name in sorted(names))


def _digest(paths: Iterator[Path]) -> str:
    """Of names and contents, each with its length, so that none can be taken for another."""
    found = sha256()
    for path in sorted(paths):
        name, content = path.relative_to(WEB).as_posix().encode(), path.read_bytes()
        found.update(b"%d %d " % (len(name), len(content)) + name + content)
    return found.hexdigest()


if __name__ == "__main__":
    (BUILT / SOURCES).write_text(text())
