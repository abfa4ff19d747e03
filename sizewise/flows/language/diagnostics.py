"""Diagnostics of a flow file: errors and warnings with position and hint, and spelling suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import did_you_mean as nearest_name

Path = tuple[str | int, ...]
"""Path of a value in the file: ("nodes", "answer", "prompt")."""
MAX_DIAGNOSTICS = 100


class Diagnostic(Struct, frozen=True):
    """An error or warning. `line` and `column` count from 1. A flow with warnings can run. `choices`: names that could
    stand for the last one that `message` quotes.
    """

    node: str
    line: int
    column: int
    message: str
    hint: str = ""
    kind: Literal["mistake", "warning"] = "mistake"
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.line}:{self.column}: " + (f"{self.node}: " if self.node else "")
        return where + self.message + (f". {self.hint}" if self.hint else "")


class DiagnosticCollector:
    """Collects diagnostics without duplicates; true if there is an error. `positions`: line and column of each path."""

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
        choices: tuple[str, ...] = (),
    ) -> None:
        """`at_key`: position it at the key instead of the value. `position`: line and column, if known."""
        line, column = position or self.position_of((*path, KEY) if at_key else path)
        self._diagnostics[
            Diagnostic(
                node=node,
                line=line,
                column=column,
                message=message,
                hint=hint,
                kind="warning" if warning else "mistake",
                choices=choices,
            )
        ] = None

    def position_of(self, path: Path) -> tuple[int, int]:
        """Line and column of `path`, or of its nearest parent in the file."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._positions:
                return self._positions[path[:end]]
        return 1, 1

    def sorted(self) -> tuple[Diagnostic, ...]:
        """The first MAX_DIAGNOSTICS in file order."""
        return tuple(sorted(self._diagnostics, key=lambda each: (each.line, each.column)))[:MAX_DIAGNOSTICS]

    def __len__(self) -> int:
        return len(self._diagnostics)

    def __bool__(self) -> bool:
        return any(each.kind == "mistake" for each in self._diagnostics)


KEY = "\0key"
"""Last part of the path of a key, as opposed to that of its value."""


MAX_CANDIDATES = 300
"""Names that are compared: without a limit, 20,000 wrong names against as many known ones took minutes."""


def did_you_mean(name: str, names: Iterable[str], label: str = "known") -> str:
    """A hint: the nearest of the names, else the first of them."""
    listed = list(names)
    if near := nearest_name(name[:100], listed[:MAX_CANDIDATES]):
        return near
    if not listed:
        return ""
    more = f", and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"{label.capitalize()}: {', '.join(listed[:12])}{more}."
