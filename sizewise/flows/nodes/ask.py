"""Node that asks a model; its text streams if it is the flow's output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import ModelNode, build_messages
from sizewise.flows.node import NodeContext, ParameterError, ValidationContext
from sizewise.handler import Event, ModelSelected


class AskNode(ModelNode, frozen=True, kw_only=True):
    """Asks a model, and outputs its answer."""

    prompt: Annotated[str | None, Meta(description="Prompt.")] = None
    messages: Annotated[
        list[Json],
        Meta(description="Conversation so far, in chat format; the prompt is appended."),
    ] = []

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(text=types.TEXT, model=types.TEXT, finish=types.TEXT)

    @classmethod
    def streaming_field(cls, context: ValidationContext) -> str:
        return "text"

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        if not {"prompt", "messages", "prompt_id"} & context.types.keys():
            yield ParameterError("", "the prompt is missing", "Set `prompt`, `messages` or `prompt_id`.")

    async def run(self, context: NodeContext) -> Json:
        answered = ""

        async def heard(event: Event) -> None:
            nonlocal answered
            if isinstance(event, ModelSelected):
                answered = event.model
            await context.send(event)

        what = self.build_chat(build_messages(self.prompt, self.messages), stream=context.streams)
        reply = await context.dependencies.handler(context.build_request(what, self.request_options()), heard)
        finish = reply.choices[0].finish_reason if reply.choices else None
        return {"text": reply.text, "model": answered or reply.model, "finish": finish or "stop"}
