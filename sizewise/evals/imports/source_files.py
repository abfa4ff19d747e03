"""Files of an imported folder: read by reference, inside the folder alone, bounded in size and number; runs none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from sizewise.evals.imports.imported_eval import ImportRefused, JsonValue

MAX_BYTES = 1_048_576
"""Of one file."""
MAX_FILES = 1_000
DATA = (".yaml", ".yml", ".json")
TEXT = (".txt", ".md", ".j2", "")


class ParsedFile(Protocol):
    """Data with the line and column of each path."""

    @property
    def data(self) -> JsonValue: ...
    @property
    def positions(self) -> Mapping[tuple[str | int, ...], tuple[int, int]]: ...


ParseYaml = Callable[[str], ParsedFile]
"""Raises SizewiseError."""


class SourceFiles:
    """`root`: nothing outside it is read, also not through a link."""

    def __init__(self, root: Path, parse: ParseYaml) -> None:
        self._root, self._parse = root.resolve(), parse
        self._read = 0

    def find(self, reference: str, beside: Path) -> list[Path]:
        """Of `file://PATH` or a path, which may be a pattern, from the folder of `beside`, else from the root. Raises
        ImportRefused if it leads outside, or there is none.
        """
        name = reference.removeprefix("file://")
        if name.startswith(("/", "~")) or "\\" in name:
            raise ImportRefused(f"{reference!r} leads out of the folder", "copy it into the folder")
        for start in (beside.resolve().parent, self._root):
            found = list(self._matches(start, name))
            if found:
                return found
        raise ImportRefused(f"{reference!r} is not there", "add the file, or remove the reference")

    def _matches(self, start: Path, name: str) -> Iterator[Path]:
        while name.startswith("../"):
            start, name = start.parent, name[3:]
        if not start.is_relative_to(self._root) or ".." in Path(name).parts:
            raise ImportRefused(f"{name!r} leads out of the folder", "copy it into the folder")
        for place, each in enumerate(sorted(start.glob(name)) if name else ()):
            if place >= MAX_FILES:
                raise ImportRefused(f"{name!r} names more than {MAX_FILES} files", "import fewer")
            if not each.resolve().is_relative_to(self._root):
                raise ImportRefused(f"{name!r} is a link that leads out of the folder", "copy the file")
            if each.is_file():
                yield each

    def text(self, path: Path) -> str:
        """Raises ImportRefused."""
        self._read += 1
        try:
            if self._read > MAX_FILES or path.stat().st_size > MAX_BYTES:
                raise ImportRefused(f"{path.name!r} is larger than {MAX_BYTES:,} bytes, or one of too many", "split it")
            return path.read_text("utf-8").removeprefix("\ufeff")
        except (OSError, UnicodeDecodeError) as error:
            raise ImportRefused(f"{path.name!r} cannot be read", "save it as UTF-8 text") from error

    def parsed(self, path: Path) -> ParsedFile:
        """Raises SizewiseError."""
        return self._parse(self.text(path))

    def name(self, path: Path) -> str:
        """From the root."""
        return path.resolve().relative_to(self._root).as_posix()
