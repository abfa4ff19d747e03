"""Node that waits for a number of seconds; a durable run keeps waiting across restarts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext


class WaitNode(Node, frozen=True, kw_only=True):
    """Waits before the nodes after it."""

    is_step = False
    has_side_effects = True

    seconds: Annotated[float, Meta(ge=0, le=31_536_000, description="Seconds to wait, up to a year.")]

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(waited=types.NUMBER)

    async def run(self, context: NodeContext) -> Json:
        await context.steps.sleep(context.path, self.seconds)
        return {"waited": self.seconds}
