"""Puts a text under one of several labels, by a model that can say nothing else; a small one, unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from sizewise.errors import InvalidOutput
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import Asks
from sizewise.flows.node import Given, Job, Objection


class Classify(Asks, frozen=True, kw_only=True):
    """Puts a text under one of several labels."""

    text: Annotated[str, Meta(description="What is looked at.")]
    labels: Annotated[list[str] | dict[str, str], Meta(description="The labels, or each with what belongs under it.")]
    model: Annotated[
        str,
        Meta(description="Which: small, auto, large or PROVIDER/MODEL.", extra_json_schema={"x-names": "models"}),
    ] = "small"

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(label=Type("text", one_of=tuple(map(str, given.values.get("labels") or ()))))

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        labels = given.values.get("labels")
        if labels is not None and len(set(labels)) < 2:
            yield Objection("labels", "there is nothing to choose from", "Give two labels or more.")

    async def run(self, job: Job) -> Json:
        names = list(self.labels)
        told = "\n".join(f"- {name}: {self.labels[name]}" if isinstance(self.labels, Mapping) else f"- {name}"
                         for name in names)  # fmt: skip
        prompt = f"Choose the one label that fits the text best.\n\nLabels:\n{told}\n\nText:\n{self.text}"
        shape = {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": names}},
            "required": ["label"],
            "additionalProperties": False,
        }
        reply = await job.answer(self.chat([{"role": "user", "content": prompt}], shape=shape), self.wishes())
        try:
            chosen = msgspec.json.decode(reply.text, type=dict[str, str]).get("label", "")
        except msgspec.DecodeError as error:
            raise InvalidOutput("the answer is no label", "Ask a model that can write JSON.") from error
        if chosen not in names:
            raise InvalidOutput("the answer is none of the labels", "Ask a model that can keep a schema.")
        return {"label": chosen}
