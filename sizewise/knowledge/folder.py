"""The files of a folder that can be read, under names that stay the same wherever the folder lies; opens none."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from sizewise.errors import BadRequest

ENDINGS = (
    *(".pdf", ".docx", ".html", ".htm", ".xhtml", ".csv", ".tsv", ".json", ".jsonl", ".ndjson"),
    *(".md", ".markdown", ".txt", ".rst", ".text"),
)
MOST = 100_000


class File(Struct, frozen=True):
    """`source` begins with the folder's own name."""

    path: Path
    source: str


def files(path: Path) -> list[File]:
    """Sorted; hidden ones and links are left out, for they lead to what nobody meant. Raises BadRequest where there is
    nothing."""
    if path.is_file():
        return [File(path, path.name)]
    if not path.is_dir():
        raise BadRequest(f"there is no file or folder {str(path)!r}", "name one that is there")
    root, found = path.resolve(), list[File]()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if name.startswith(".") or not name.lower().endswith(ENDINGS) or file.is_symlink():
                continue
            found.append(File(file, f"{root.name}/{file.relative_to(root).as_posix()}"))
            if len(found) > MOST:
                raise BadRequest(f"{str(path)!r} holds more than {MOST:,} files", "name folders within it")
    return found
