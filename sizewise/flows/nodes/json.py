"""Asks a model for JSON by a schema; the router checks it before it is given and has it mended once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from sizewise.errors import InvalidOutput
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import Asks, turns
from sizewise.flows.node import Given, Job, Objection


class Json_(Asks, frozen=True, kw_only=True):
    """Asks a model for JSON that keeps a schema, and gives what it says."""

    schema: Annotated[dict[str, Json], Meta(description="The JSON Schema that the answer keeps.")]
    prompt: Annotated[str | None, Meta(description="The question.")] = None
    messages: Annotated[
        list[Json], Meta(description="A conversation so far, as a chat API has it; the prompt comes behind.")
    ] = []

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.of_schema(given.values.get("schema"))

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        if "prompt" not in given.typed and "messages" not in given.typed:
            yield Objection("", "it asks nothing", "Give a `prompt` or `messages`.")
        schema = given.values.get("schema")
        if isinstance(schema, dict) and "type" not in schema:
            yield Objection("schema", "the schema has no type", "Begin it with: type: object")

    async def run(self, job: Job) -> Json:
        reply = await job.answer(self.chat(turns(self.prompt, self.messages), shape=self.schema), self.wishes())
        try:
            return msgspec.json.decode(reply.text)
        except msgspec.DecodeError as error:
            finish = reply.choices[0].finish if reply.choices else ""
            hint = "Raise its max_tokens." if finish == "length" else "Ask a model that can write JSON."
            raise InvalidOutput("the answer is no JSON", hint) from error
