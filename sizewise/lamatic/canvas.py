"""A flow as it was drawn elsewhere, whatever file it stood in: nodes, lines, and what to say of each node; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.flows.language.types import Json


class Refused(BadRequest):
    """A file that is not read at all. `line` counts from 1; 0 where no line is to blame."""

    def __init__(self, message: str, hint: str = "", line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message, hint)
        self.bare, self.line = message, line

    def within(self, path: str) -> Refused:
        """The same, of a file by its name."""
        where = f"{path}:{self.line}" if self.line else path
        refused = Refused(f"{where}: {self.bare}", self.hint or "")
        refused.bare = f"{where}: {self.bare}"
        return refused


class Box(Struct, frozen=True):
    """A node as drawn. `name` is what people see on it; `off`: it is switched off."""

    id: str
    type: str
    name: str = ""
    values: Mapping[str, Json] = {}
    schema: Mapping[str, Json] = {}
    logic: Json = None
    trigger: bool = False
    off: bool = False


class Line(Struct, frozen=True):
    """From one node to the next. `case`: only where a condition of the first, named so, holds.

    `back`: it closes a loop, and orders nothing.
    """

    source: str
    target: str
    case: str = ""
    back: bool = False


class Drawing(Struct, frozen=True):
    """`id` is the flow's there, by which others run it; empty where the file does not say."""

    name: str
    boxes: Mapping[str, Box]
    lines: tuple[Line, ...]
    description: str = ""
    id: str = ""
    told: tuple[Told, ...] = ()


Grade = Literal["imported", "note", "named"]
"""A node is imported; or so, and something of it is otherwise; or it is not, and it is named."""


class Told(Struct, frozen=True):
    """What is said of a node, or of the whole flow where `node` is empty. `hint`: what to do."""

    grade: Grade
    node: str
    type: str
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        who = f"{self.node} ({self.type}): " if self.node else ""
        said = self.message or "imported"
        return f"{who}{said}{'. ' + self.hint if self.hint else ''}"
