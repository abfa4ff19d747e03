"""Asks a model, by the policy that the node names; its words stream where the flow speaks by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import Asks, turns
from sizewise.flows.node import Given, Job, Objection
from sizewise.handler import Chosen, Event


class Ask(Asks, frozen=True, kw_only=True):
    """Asks a model, and gives its words."""

    prompt: Annotated[str | None, Meta(description="The question.")] = None
    messages: Annotated[
        list[Json], Meta(description="A conversation so far, as a chat API has it; the prompt comes behind.")
    ] = []

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(text=types.TEXT, model=types.TEXT, finish=types.TEXT)

    @classmethod
    def speaks(cls, given: Given) -> str:
        return "text"

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        if "prompt" not in given.typed and "messages" not in given.typed:
            yield Objection("", "it asks nothing", "Give a `prompt` or `messages`.")

    async def run(self, job: Job) -> Json:
        answered = ""

        async def heard(event: Event) -> None:
            nonlocal answered
            if isinstance(event, Chosen):
                answered = event.model
            await job.send(event)

        what = self.chat(turns(self.prompt, self.messages), stream=job.speaks)
        reply = await job.means.answer(job.asking(what, self.wishes()), heard)
        finish = reply.choices[0].finish if reply.choices else None
        return {"text": reply.text, "model": answered or reply.model, "finish": finish or "stop"}
