"""Canvas model of a Lamatic flow: nodes, edges and translation notes, whatever file format it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.flows.language.types import Json


class LamaticFileError(BadRequest):
    """A file that cannot be read. `line` counts from 1; 0 if the error has no line."""

    def __init__(self, message: str, hint: str = "", line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message, hint)
        self.reason, self.line = message, line

    def in_file(self, path: str) -> LamaticFileError:
        """The same error with the file's path."""
        where = f"{path}:{self.line}" if self.line else path
        refused = LamaticFileError(f"{where}: {self.reason}", self.hint or "")
        refused.reason = f"{where}: {self.reason}"
        return refused


class CanvasNode(Struct, frozen=True):
    """`label`: the name shown on the canvas."""

    id: str
    type: str
    label: str = ""
    values: Mapping[str, Json] = {}
    schema: Mapping[str, Json] = {}
    logic: Json = None
    is_trigger: bool = False
    disabled: bool = False


class CanvasEdge(Struct, frozen=True):
    """`case`: label of the source's condition that must hold; empty: none.

    `is_back_edge`: it closes a loop, so it does not order nodes.
    """

    source: str
    target: str
    case: str = ""
    is_back_edge: bool = False


class Canvas(Struct, frozen=True):
    """`id`: the flow's id in Lamatic, by which other flows call it; empty if the file has none."""

    name: str
    nodes: Mapping[str, CanvasNode]
    edges: tuple[CanvasEdge, ...]
    description: str = ""
    id: str = ""
    notes: tuple[TranslationNote, ...] = ()


TranslationGrade = Literal["imported", "note", "named"]
"""imported: fully. note: with a difference. named: not translated, only reported."""


class TranslationNote(Struct, frozen=True):
    """A message about a node, or about the whole flow if `node` is empty. `hint`: the next step."""

    grade: TranslationGrade
    node: str
    type: str
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        who = f"{self.node} ({self.type}): " if self.node else ""
        said = self.message or "imported"
        return f"{who}{said}{'. ' + self.hint if self.hint else ''}"
