"""Finds passages in a knowledge base, as far as the one who asks may see them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sizewise.flows import types
from sizewise.flows.node import Given, Job, Kind, missing
from sizewise.flows.types import Json, Type

PASSAGE = Type(
    "object",
    fields={
        "text": types.TEXT,
        "title": types.TEXT,
        "source": types.TEXT,
        "page": types.JSON,
        "score": types.NUMBER,
        "id": types.TEXT,
    },
    open=True,
)


class Search(Kind, frozen=True, kw_only=True):
    """Finds passages in a knowledge base."""

    knowledge: Annotated[str, Meta(description="The base.", extra_json_schema={"x-names": "knowledge"})]
    query: Annotated[str, Meta(description="What is looked for.")]
    limit: Annotated[int, Meta(ge=1, le=1_000, description="The most passages.")] = 5
    where: Annotated[dict[str, Json], Meta(description="Only passages whose tags are so.")] = {}
    mode: Annotated[Literal["hybrid", "vector", "words"], Meta(description="By meaning, by words, or by both.")] = (
        "hybrid"
    )

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(passages=types.list_of(PASSAGE))

    async def run(self, job: Job) -> Json:
        knowledge = job.means.knowledge
        if knowledge is None:
            raise missing("knowledge", "install the extra: pip install 'sizewise[knowledge]'")
        found = await knowledge.search(
            job.ask, self.knowledge, self.query, limit=self.limit, where=self.where, mode=self.mode
        )
        return {"passages": found}
