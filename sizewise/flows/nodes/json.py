"""Node that asks a model for JSON that matches a schema; the router validates and repairs the answer once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from sizewise.errors import InvalidOutput
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import ModelNode, build_messages
from sizewise.flows.node import NodeContext, ParameterError, ValidationContext


class JsonNode(ModelNode, frozen=True, kw_only=True):
    """Asks a model for JSON that matches a schema, and outputs it."""

    schema: Annotated[dict[str, Json], Meta(description="JSON Schema of the answer.")]
    prompt: Annotated[str | None, Meta(description="Prompt.")] = None
    messages: Annotated[
        list[Json],
        Meta(description="Conversation so far, in chat format; the prompt is appended."),
    ] = []

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.from_json_schema(context.values.get("schema"))

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        if "prompt" not in context.types and "messages" not in context.types:
            yield ParameterError("", "the prompt is missing", "Set `prompt` or `messages`.")
        schema = context.values.get("schema")
        if isinstance(schema, dict) and "type" not in schema:
            yield ParameterError("schema", "the schema has no type", "Start it with: type: object")

    async def run(self, context: NodeContext) -> Json:
        reply = await context.ask_model(
            self.build_chat(build_messages(self.prompt, self.messages), json_schema=self.schema),
            self.request_options(),
        )
        try:
            return msgspec.json.decode(reply.text)
        except msgspec.DecodeError as error:
            finish = reply.choices[0].finish_reason if reply.choices else ""
            hint = "Raise `max_tokens`." if finish == "length" else "Use a model that supports JSON output."
            raise InvalidOutput("the answer is not valid JSON", hint) from error
