"""Node that searches a knowledge base with the caller's access rights and reports the data class found."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.evidence import read_evidence
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext, missing_dependency
from sizewise.knowledge.grounding import coverage
from sizewise.knowledge.results import SearchMode, SearchResult, strictest_data_class
from sizewise.knowledge.vector_store import Tag, equality_filter

PASSAGE_TYPE = Type(
    "object",
    fields={
        **dict.fromkeys(("id", "document", "source", "title", "text", "cited", "data_class"), types.TEXT),
        "score": types.NUMBER,
        "page": types.INTEGER,
        "headings": Type("list", types.TEXT),
        "suspect": Type("list", types.TEXT),
    },
)


class SearchNode(Node, frozen=True, kw_only=True):
    """Searches a knowledge base for passages."""

    sets_data_class = True

    knowledge: Annotated[str, Meta(description="Knowledge base.", extra_json_schema={"x-names": "knowledge"})]
    query: Annotated[str, Meta(description="Search query.")]
    limit: Annotated[int, Meta(ge=1, le=200, description="Maximum number of passages.")] = 5
    where: Annotated[dict[str, Tag], Meta(description="Only return passages with these tags.")] = {}
    mode: Annotated[
        SearchMode, Meta(description="Search mode: semantic (vector), keywords (words), or both (hybrid).")
    ] = "hybrid"

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            passages=types.list_of(PASSAGE_TYPE),
            count=types.INTEGER,
            score=types.NUMBER,
            coverage=types.NUMBER,
            data_class=types.JSON,
            warnings=types.list_of(types.TEXT),
        )

    async def run(self, context: NodeContext) -> Json:
        knowledge = context.dependencies.knowledge
        if knowledge is None:
            raise missing_dependency("knowledge", "install the extra: pip install 'sizewise[knowledge]'")
        where = equality_filter(self.where)
        found = await knowledge.search(
            context.request,
            self.knowledge,
            self.query,
            limit=self.limit,
            mode=self.mode,
            where=where,
        )
        passages = [_passage(each) for each in found.results]
        return {
            "passages": passages,
            "count": len(passages),
            "score": max((each.score for each in found.results), default=0.0),
            "coverage": round(coverage(self.query, read_evidence(passages)), 2),
            "data_class": strictest_data_class(found.results),
            "warnings": list(found.warnings),
        }


def _passage(found: SearchResult) -> Json:
    names = ("id", "document", "source", "title", "text", "cited", "score", "page", "headings", "data_class")
    return {name: getattr(found, name) for name in names} | {"suspect": found.suspicions}
