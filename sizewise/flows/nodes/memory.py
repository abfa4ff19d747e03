"""Remembers something of somebody, recalls what fits, and forgets it; how it is kept is the memory's matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from sizewise.flows import types
from sizewise.flows.node import Given, Job, Kind, Objection, missing
from sizewise.flows.types import Json, Type


class Memory(Kind, frozen=True, kw_only=True):
    """Remembers, recalls and forgets what concerns somebody."""

    effect = True

    do: Annotated[Literal["recall", "remember", "forget"], Meta(description="What to do.")]
    whose: Annotated[str, Meta(max_length=200, description="Whom it concerns, by an id of your own.")]
    text: Annotated[str, Meta(description="What is remembered; or what fitting things are like.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="The most that is recalled.")] = 5

    @classmethod
    def gives(cls, given: Given) -> Type:
        one = Type("object", fields={"id": types.TEXT, "text": types.TEXT}, open=True)
        return Type("object", fields={"memories": types.list_of(one), "count": types.INTEGER})

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        if given.values.get("do") == "remember" and "text" not in given.typed:
            yield Objection("do", "there is nothing to remember", 'Give it: text: "{{ ... }}"')

    async def run(self, job: Job) -> Json:
        memory = job.means.memory
        if memory is None:
            raise missing("memory", "install the extra: pip install 'sizewise[knowledge]'")
        if self.do == "recall":
            found = await memory.recall(job.ask, self.whose, self.text, self.limit)
        elif self.do == "remember":
            found = await memory.remember(job.ask, self.whose, self.text, key=job.key)
        else:
            found = await memory.forget(job.ask, self.whose, self.text)
        return {"memories": found, "count": len(found)}
