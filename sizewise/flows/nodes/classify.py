"""Node that assigns one of several labels to a text, with a small model by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from sizewise.errors import InvalidOutput
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import ModelNode
from sizewise.flows.node import NodeContext, ParameterError, ValidationContext


class ClassifyNode(ModelNode, frozen=True, kw_only=True):
    """Assigns one of several labels to a text."""

    text: Annotated[str, Meta(description="Text to classify.")]
    labels: Annotated[list[str] | dict[str, str], Meta(description="Labels, or each label with a description.")]
    model: Annotated[
        str,
        Meta(description="Model: small, auto, large or PROVIDER/MODEL.", extra_json_schema={"x-names": "models"}),
    ] = "small"

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(label=Type("text", enum=tuple(map(str, context.values.get("labels") or ()))))

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        labels = context.values.get("labels")
        if labels is not None and len(set(labels)) < 2:
            yield ParameterError("labels", "there are fewer than two labels", "Add labels.")

    async def run(self, context: NodeContext) -> Json:
        names = list(self.labels)
        told = "\n".join(f"- {name}: {self.labels[name]}" if isinstance(self.labels, Mapping) else f"- {name}"
                         for name in names)  # fmt: skip
        # The text alone is the last message: so this is one question about it, which a ladder of decisions may answer.
        instructions = f"Choose the one label that fits the text best.\n\nLabels:\n{told}"
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": self.text}]
        shape = {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": names}},
            "required": ["label"],
            "additionalProperties": False,
        }
        reply = await context.ask_model(
            self.build_chat(messages, json_schema=shape),
            self.request_options(),
        )
        try:
            chosen = msgspec.json.decode(reply.text, type=dict[str, str]).get("label", "")
        except msgspec.DecodeError as error:
            raise InvalidOutput("the answer is not a label", "Use a model that supports JSON output.") from error
        if chosen not in names:
            raise InvalidOutput("the answer is not one of the labels", "Use a model that supports JSON schemas.")
        return {"label": chosen}
