"""What is wrong with a flow and what would mend it, each where it stands in the file; finds nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import nearest

Path = tuple[str | int, ...]
"""Where a value stands in the file: ("nodes", "answer", "prompt")."""
MOST = 100
"""Findings that are told; nobody reads more."""


class Finding(Struct, frozen=True):
    """`line` and `column` count from 1. A `warning` keeps no flow from running."""

    node: str
    line: int
    column: int
    message: str
    hint: str = ""
    kind: Literal["mistake", "warning"] = "mistake"

    def __str__(self) -> str:
        where = f"{self.line}:{self.column}: " + (f"{self.node}: " if self.node else "")
        return where + self.message + (f". {self.hint}" if self.hint else "")


class Findings:
    """Collects what is found, each once. `places` is where each value of the file stands."""

    def __init__(self, places: Mapping[Path, tuple[int, int]]) -> None:
        self._places = places
        self._found: dict[Finding, None] = {}

    def add(
        self,
        path: Path,
        node: str,
        message: str,
        hint: str = "",
        *,
        warning: bool = False,
        key: bool = False,
        place: tuple[int, int] | None = None,
    ) -> None:
        """`key`: it is about the name before the value, and not about the value. `place`: line and column, if known."""
        line, column = place or self.at((*path, KEY) if key else path)
        self._found[Finding(node, line, column, message, hint, "warning" if warning else "mistake")] = None

    def at(self, path: Path) -> tuple[int, int]:
        """Where that is; of what is not there, where it would stand in."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._places:
                return self._places[path[:end]]
        return 1, 1

    def all(self) -> tuple[Finding, ...]:
        """In the order of the file."""
        return tuple(sorted(self._found, key=lambda each: (each.line, each.column)))[:MOST]

    def __len__(self) -> int:
        return len(self._found)

    def __bool__(self) -> bool:
        return any(each.kind == "mistake" for each in self._found)


KEY = "\0key"
"""Ends the path of a name, beside the path of its value."""


LOOKED = 300
"""Names of which the nearest is looked for: of 20,000 wrong names and as many right ones that took minutes."""


def known(wrong: str, names: Iterable[str], what: str = "known") -> str:
    """A hint: the nearest of the names, else some of them."""
    listed = list(names)
    if near := nearest(wrong[:100], listed[:LOOKED]):
        return near
    if not listed:
        return ""
    more = f", and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"{what.capitalize()}: {', '.join(listed[:12])}{more}."
