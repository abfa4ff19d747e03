"""Finds passages in a knowledge base, as far as the one who asks may see them; what uses them is kept as closely."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, missing
from sizewise.knowledge.knowledge_service import Mode, equals
from sizewise.knowledge.results import Found, tightest
from sizewise.knowledge.vector_store import Tag

PASSAGE = Type(
    "object",
    fields={
        **dict.fromkeys(("id", "document", "source", "title", "text", "cited", "data_class"), types.TEXT),
        "score": types.NUMBER,
        "page": types.INTEGER,
        "headings": Type("list", types.TEXT),
    },
)


class Search(Kind, frozen=True, kw_only=True):
    """Finds passages in a knowledge base."""

    tightens = True

    knowledge: Annotated[str, Meta(description="The base.", extra_json_schema={"x-names": "knowledge"})]
    query: Annotated[str, Meta(description="What is looked for.")]
    limit: Annotated[int, Meta(ge=1, le=200, description="The most passages.")] = 5
    where: Annotated[dict[str, Tag], Meta(description="Only passages whose tags are so.")] = {}
    mode: Annotated[Mode, Meta(description="By meaning (vector), by words, or by both (hybrid).")] = "hybrid"

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(passages=types.list_of(PASSAGE), data_class=types.JSON)

    async def run(self, job: Job) -> Json:
        knowledge = job.means.knowledge
        if knowledge is None:
            raise missing("knowledge", "install the extra: pip install 'sizewise[knowledge]'")
        where = equals(self.where)
        found = await knowledge.search(
            job.ask, self.knowledge, self.query, limit=self.limit, mode=self.mode, where=where
        )
        return {"passages": [_told(each) for each in found], "data_class": tightest(found)}


def _told(found: Found) -> Json:
    names = ("id", "document", "source", "title", "text", "cited", "score", "page", "headings", "data_class")
    return {name: getattr(found, name) for name in names}
