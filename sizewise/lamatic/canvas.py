"""Canvas model of a Lamatic flow: nodes, edges and translation notes, whatever file format it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.flows.language.types import Json


class LamaticFileError(BadRequest):
    """A file that is not read at all. `line` counts from 1; 0 where no line is to blame."""

    def __init__(self, message: str, hint: str = "", line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message, hint)
        self.reason, self.line = message, line

    def in_file(self, path: str) -> LamaticFileError:
        """The same, of a file by its name."""
        where = f"{path}:{self.line}" if self.line else path
        refused = LamaticFileError(f"{where}: {self.reason}", self.hint or "")
        refused.reason = f"{where}: {self.reason}"
        return refused


class CanvasNode(Struct, frozen=True):
    """A node as drawn. `label` is what people see on it; `disabled`: it is switched off."""

    id: str
    type: str
    label: str = ""
    values: Mapping[str, Json] = {}
    schema: Mapping[str, Json] = {}
    logic: Json = None
    is_trigger: bool = False
    disabled: bool = False


class CanvasEdge(Struct, frozen=True):
    """From one node to the next. `case`: only where a condition of the first, named so, holds.

    `is_back_edge`: it closes a loop, and orders nothing.
    """

    source: str
    target: str
    case: str = ""
    is_back_edge: bool = False


class Canvas(Struct, frozen=True):
    """`id` is the flow's there, by which others run it; empty where the file does not say."""

    name: str
    nodes: Mapping[str, CanvasNode]
    edges: tuple[CanvasEdge, ...]
    description: str = ""
    id: str = ""
    notes: tuple[TranslationNote, ...] = ()


TranslationGrade = Literal["imported", "note", "named"]
"""A node is imported; or so, and something of it is otherwise; or it is not, and it is named."""


class TranslationNote(Struct, frozen=True):
    """What is said of a node, or of the whole flow where `node` is empty. `hint`: what to do."""

    grade: TranslationGrade
    node: str
    type: str
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        who = f"{self.node} ({self.type}): " if self.node else ""
        said = self.message or "imported"
        return f"{who}{said}{'. ' + self.hint if self.hint else ''}"
