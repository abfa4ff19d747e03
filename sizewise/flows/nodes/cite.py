"""Node that finds the source of each sentence of a text in passages; calls no model."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.evidence import DEFAULT_NO_ANSWER, Unsupported, read_evidence, source_list, sources_json
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext
from sizewise.knowledge.grounding import check_grounding, cite


class CiteNode(Node, frozen=True, kw_only=True):
    """Cites the passage that holds each sentence of a text, and withholds or marks a sentence that none holds."""

    text: Annotated[str, Meta(description="Text, such as the answer of an ask node. Its own [1] are replaced.")]
    passages: Annotated[list[Json], Meta(description="Passages of a search node, or texts.")]
    question: Annotated[
        str, Meta(description="What was asked, so that a short answer such as `45 days.` can be checked.")
    ] = ""
    unsupported: Annotated[
        Unsupported, Meta(description="What happens to a sentence that no passage holds: withhold or mark.")
    ] = "withhold"
    otherwise: Annotated[str, Meta(description="The text if no sentence is held.")] = DEFAULT_NO_ANSWER

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            text=types.TEXT,
            grounded=types.BOOLEAN,
            share=types.NUMBER,
            sources=source_list(),
            unsupported=types.list_of(types.TEXT),
        )

    async def run(self, context: NodeContext) -> Json:
        passages = read_evidence(self.passages)
        found = check_grounding(self.text, passages, self.question)
        text, sources = cite(found, passages, mark=self.unsupported == "mark")
        return {
            "text": text or self.otherwise,
            "grounded": bool(text) and not found.unsupported,
            "share": round(found.share, 2),
            "sources": sources_json(sources),
            "unsupported": found.unsupported,
        }
