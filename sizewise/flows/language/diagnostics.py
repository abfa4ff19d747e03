"""Diagnostics of a flow file: errors and warnings with position and hint, and spelling suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import did_you_mean as nearest_name

Path = tuple[str | int, ...]
"""Where a value stands in the file: ("nodes", "answer", "prompt")."""
MAX_DIAGNOSTICS = 100
"""Findings that are told; nobody reads more."""


class Diagnostic(Struct, frozen=True):
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


class DiagnosticCollector:
    """Collects what is found, each once. `positions` is where each value of the file stands."""

    def __init__(self, positions: Mapping[Path, tuple[int, int]]) -> None:
        self._positions = positions
        self._diagnostics: dict[Diagnostic, None] = {}

    def add(
        self,
        path: Path,
        node: str,
        message: str,
        hint: str = "",
        *,
        warning: bool = False,
        at_key: bool = False,
        position: tuple[int, int] | None = None,
    ) -> None:
        """`at_key`: it is about the name before the value, and not about the value. `position`: line and column, if
        known."""
        line, column = position or self.position_of((*path, KEY) if at_key else path)
        self._diagnostics[Diagnostic(node, line, column, message, hint, "warning" if warning else "mistake")] = None

    def position_of(self, path: Path) -> tuple[int, int]:
        """Where that is; of what is not there, where it would stand in."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._positions:
                return self._positions[path[:end]]
        return 1, 1

    def sorted(self) -> tuple[Diagnostic, ...]:
        """In the order of the file."""
        return tuple(sorted(self._diagnostics, key=lambda each: (each.line, each.column)))[:MAX_DIAGNOSTICS]

    def __len__(self) -> int:
        return len(self._diagnostics)

    def __bool__(self) -> bool:
        return any(each.kind == "mistake" for each in self._diagnostics)


KEY = "\0key"
"""Ends the path of a name, beside the path of its value."""


MAX_CANDIDATES = 300
"""Names of which the nearest is looked for: of 20,000 wrong names and as many right ones that took minutes."""


def did_you_mean(name: str, names: Iterable[str], label: str = "known") -> str:
    """A hint: the nearest of the names, else some of them."""
    listed = list(names)
    if near := nearest_name(name[:100], listed[:MAX_CANDIDATES]):
        return near
    if not listed:
        return ""
    more = f", and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"{label.capitalize()}: {', '.join(listed[:12])}{more}."
