"""Node that remembers, recalls and forgets facts about a user or session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from sizewise.data_class import strictest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ParameterError, ValidationContext, missing_dependency


class MemoryNode(Node, frozen=True, kw_only=True):
    """Remembers, recalls and forgets facts about a user or session."""

    has_side_effects = True
    sets_data_class = True

    do: Annotated[Literal["recall", "remember", "forget"], Meta(description="Operation.")]
    whose: Annotated[str, Meta(max_length=200, description="Your own id of the user or session.")]
    text: Annotated[str, Meta(description="Fact to remember, or query for facts to recall.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="Maximum number of recalled facts.")] = 5

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        one = Type("object", fields={"id": types.TEXT, "text": types.TEXT}, open=True)
        return types.object_of(memories=types.list_of(one), count=types.INTEGER, data_class=types.JSON)

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        if context.values.get("do") == "remember" and "text" not in context.types:
            yield ParameterError("do", "there is no text to remember", 'Set it: text: "{{ ... }}"')

    async def run(self, context: NodeContext) -> Json:
        memory = context.dependencies.memory
        if memory is None:
            raise missing_dependency("memory", "install the extra: pip install 'sizewise[knowledge]'")
        if self.do == "recall":
            found = await memory.recall(context.request, self.whose, self.text, self.limit)
        elif self.do == "remember":
            request = replace(context.request, options=replace(context.request.options, data_class=context.data_class))
            found = await memory.remember(request, self.whose, self.text, key=context.idempotency_key)
        else:
            found = await memory.forget(context.request, self.whose, self.text)
        classes = [each["data_class"] for each in found if each.get("data_class")]
        return {"memories": found, "count": len(found), "data_class": strictest(*classes) if classes else None}
