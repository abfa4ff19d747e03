"""Remembers something of somebody, recalls what fits, and forgets it; how it is kept is the memory's matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from sizewise.data_class import strictest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, Objection, missing


class Memory(Kind, frozen=True, kw_only=True):
    """Remembers, recalls and forgets what concerns somebody."""

    effect = True
    tightens = True

    do: Annotated[Literal["recall", "remember", "forget"], Meta(description="What to do.")]
    whose: Annotated[str, Meta(max_length=200, description="Whom it concerns, by an id of your own.")]
    text: Annotated[str, Meta(description="What is remembered; or what fitting things are like.")] = ""
    limit: Annotated[int, Meta(ge=1, le=100, description="The most that is recalled.")] = 5

    @classmethod
    def gives(cls, given: Given) -> Type:
        one = Type("object", fields={"id": types.TEXT, "text": types.TEXT}, open=True)
        return types.record(memories=types.list_of(one), count=types.INTEGER, data_class=types.JSON)

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
            ask = replace(job.ask, wishes=replace(job.ask.wishes, data_class=job.data_class))
            found = await memory.remember(ask, self.whose, self.text, key=job.key)
        else:
            found = await memory.forget(job.ask, self.whose, self.text)
        classes = [each["data_class"] for each in found if each.get("data_class")]
        return {"memories": found, "count": len(found), "data_class": strictest(*classes) if classes else None}
