"""Node that renders a template; calls no model."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext


class TemplateNode(Node, frozen=True, kw_only=True):
    """Renders a text with values, or combines several values into one."""

    text: Annotated[str | None, Meta(description="Text with {{ }} for values.")] = None
    value: Annotated[Json, Meta(description="Instead of `text`: any value, including an object or a list.")] = None

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(text=types.TEXT, value=context.types.get("value", types.JSON))

    async def run(self, context: NodeContext) -> Json:
        return {"text": self.text or "", "value": self.value}
