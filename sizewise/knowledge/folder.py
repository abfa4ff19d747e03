"""Lists the readable files of a folder under names that do not depend on its path; opens none of them."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from sizewise.errors import BadRequest

EXTENSIONS = (
    *(".pdf", ".docx", ".html", ".htm", ".xhtml", ".csv", ".tsv", ".json", ".jsonl", ".ndjson"),
    *(".md", ".markdown", ".txt", ".rst", ".text"),
)
MAX_FILES = 100_000


class SourceFile(Struct, frozen=True):
    """`source` begins with the folder's own name."""

    path: Path
    source: str


def list_files(path: Path) -> list[SourceFile]:
    """Sorted, without hidden files and symbolic links. Raises BadRequest if `path` does not exist or has more than
    MAX_FILES.
    """
    if path.is_file():
        return [SourceFile(path, path.name)]
    if not path.is_dir():
        raise BadRequest(f"there is no file or folder {str(path)!r}", "use the path of an existing file or folder")
    root, found = path.resolve(), list[SourceFile]()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if name.startswith(".") or not name.lower().endswith(EXTENSIONS) or file.is_symlink():
                continue
            found.append(SourceFile(file, f"{root.name}/{file.relative_to(root).as_posix()}"))
            if len(found) > MAX_FILES:
                raise BadRequest(f"{str(path)!r} contains more than {MAX_FILES:,} files", "use its subfolders instead")
    return found
