"""Node that repeats its body until a condition holds or a maximum number of rounds is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.expression import is_truthy
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext

MAX_ROUNDS = 1_000


class LoopNode(Node, frozen=True, kw_only=True):
    """Repeats its nodes; each round sees the outputs of the one before as `loop`."""

    is_step = False
    has_body = True
    late_parameters = frozenset({"until"})

    times: Annotated[int, Meta(ge=1, le=MAX_ROUNDS, description="Maximum number of rounds.")]
    until: Annotated[Json, Meta(description="Condition checked after each round; if it is true, the loop ends.")] = None
    start: Annotated[dict[str, Json], Meta(description="Value of `loop` in the first round.")] = {}

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        fields = context.body_type.fields if context.body_type.name == "object" else {}
        return types.object_of(**{**fields, "rounds": types.INTEGER, "held": types.BOOLEAN})

    @classmethod
    def body_scope(cls, context: ValidationContext) -> Mapping[str, Type]:
        begins = context.types.get("start")
        first = begins.fields if begins is not None else dict.fromkeys(context.values.get("start") or (), types.JSON)
        inner = context.body_type.fields if context.body_type.name == "object" else {}
        return {"loop": Type("object", fields={**inner, **first, "round": types.INTEGER}, open=not inner)}

    async def run(self, context: NodeContext) -> Json:
        gave: dict[str, Json] = dict(self.start)
        for number in range(1, self.times + 1):
            outputs = await context.body(f"[{number}]", {"loop": {**gave, "round": number}})
            gave = {**gave, **outputs} if isinstance(outputs, dict) else {**gave, "last": outputs}
            held = is_truthy(context.body.evaluate_parameter("until", {"loop": {**gave, "round": number}}))
            if held:
                break
        return {**gave, "rounds": number, "held": held}
