"""Node that answers a question from passages alone: it cites each sentence, and says so where they have no answer.

No model is called where no passage speaks of the question. An answer is checked before anybody sees it, so it does not
stream. If a sentence of it has no source, the model `fallback` is asked; what then still has none is withheld. Passages
that are suspected of giving orders are left out.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.flows.evidence import (
    DEFAULT_NO_ANSWER,
    Unsupported,
    is_suspect,
    read_evidence,
    source_list,
    sources_json,
)
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import Count, ModelNode, Ratio, Temperature
from sizewise.flows.node import NodeContext, ValidationContext
from sizewise.handler import AttemptFinished, Event, ModelSelected, RequestOptions
from sizewise.knowledge.grounding import (
    MIN_ADDRESSED,
    MIN_COVERAGE,
    Evidence,
    Grounding,
    addresses,
    check_grounding,
    cite,
    coverage,
)
from sizewise.messages import ChatRequest

SMALL_PARAMETERS = 3_000_000_000
"""A model below this copies well and concludes badly, and says that there is no answer where there is one. So it is
asked to copy, from the best passages, and not offered to refuse: what it makes up is withheld.
"""
SMALL_PASSAGES = 3
NO_ANSWER = "NOT FOUND"
COPY_INSTRUCTION = (
    "You are given passages and a question. Copy the sentence or the two sentences of the passages that answer the"
    " question, word for word. Write nothing else."
)
INSTRUCTION = (
    "Answer the question from the passages alone, in one to three short sentences, and keep to the words and numbers of"
    f" the passages. If the passages do not answer the question, write only: {NO_ANSWER}"
)
"""Neither asks for citations: they are found afterwards, and those of a model are often wrong."""


class _Answer(Struct, frozen=True):
    text: str
    grounding: Grounding
    model: str

    @property
    def holds(self) -> bool:
        return bool(self.grounding.supported) and not self.grounding.unsupported


class GroundedNode(ModelNode, frozen=True, kw_only=True):
    """Answers a question from passages alone, with a source for each sentence; or says that they do not answer it."""

    least_parameters = 1_000_000_000

    question: Annotated[str, Meta(description="Question.")]
    passages: Annotated[list[Json], Meta(description="Passages of a search node, or texts.")]
    otherwise: Annotated[str, Meta(description="The text if the passages have no answer.")] = DEFAULT_NO_ANSWER
    unsupported: Annotated[
        Unsupported, Meta(description="What happens to a sentence that no passage holds: withhold or mark.")
    ] = "withhold"
    min_coverage: Annotated[
        Ratio,
        Meta(description="Share of the question's significant words that a passage must have; else no model is asked."),
    ] = MIN_COVERAGE
    fallback: Annotated[
        str | None,
        Meta(
            description="Model that is asked if a sentence of the first answer has no source.",
            extra_json_schema={"x-names": "models"},
        ),
    ] = None
    temperature: Annotated[
        Temperature | None, Meta(description="Temperature; 0 is as deterministic as the model can be.")
    ] = 0.0
    max_tokens: Annotated[Count | None, Meta(description="Maximum output tokens.")] = 300

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            text=types.TEXT,
            answered=types.BOOLEAN,
            coverage=types.NUMBER,
            share=types.NUMBER,
            sources=source_list(),
            unsupported=types.list_of(types.TEXT),
            model=types.TEXT,
        )

    async def run(self, context: NodeContext) -> Json:
        passages = read_evidence([each for each in self.passages if not is_suspect(each)])
        covered = coverage(self.question, passages)
        if not passages or covered < self.min_coverage:
            return self._output("", covered, None, [])
        answer = await self._ask(context, passages, self.model)
        if self.fallback and not answer.holds:
            answer = await self._ask(context, passages, self.fallback)
        text, sources = cite(answer.grounding, passages, mark=self.unsupported == "mark")
        least = MIN_ADDRESSED * min(1.0, self.min_coverage / MIN_COVERAGE)
        if addresses(self.question, answer.grounding) < least:
            text, sources = "", []
        return self._output(text, covered, answer, sources_json(sources))

    def _output(self, text: str, covered: float, answer: _Answer | None, sources: list[Json]) -> Json:
        return {
            "text": text or self.otherwise,
            "answered": bool(text),
            "coverage": round(covered, 2),
            "share": round(answer.grounding.share, 2) if answer else 0.0,
            "sources": sources,
            "unsupported": answer.grounding.unsupported if answer else [],
            "model": answer.model if answer else "",
        }

    async def _ask(self, context: NodeContext, passages: list[Evidence], model: str) -> _Answer:
        """The answer of one model; no claims if it says that there is none."""
        answered = ""

        async def heard(event: Event) -> None:
            nonlocal answered
            if isinstance(event, ModelSelected):
                answered = event.model
            if isinstance(event, AttemptFinished):  # what it costs; nobody sees the words before they are checked
                await context.send(event)

        key = f"{context.idempotency_key}:{blake2b(model.encode(), digest_size=4).hexdigest()}"
        options = msgspec.structs.replace(self.request_options(), idempotency_key=key)
        chat = self._build(passages, model, is_small=False)
        if await self._is_small(context, chat, options):
            chat = self._build(passages[:SMALL_PASSAGES], model, is_small=True)
        reply = await context.dependencies.handler(context.build_request(chat, options), heard)
        said = "" if NO_ANSWER in reply.text else reply.text.strip()
        return _Answer(said, check_grounding(said, passages, self.question), answered or reply.model)

    async def _is_small(self, context: NodeContext, chat: ChatRequest, options: RequestOptions) -> bool:
        """Whether the model that would answer is known to be small."""
        estimate = context.dependencies.estimate_cost
        seen = None if estimate is None else await estimate(context.build_request(chat, options))
        return seen is not None and seen.parameters is not None and seen.parameters < SMALL_PARAMETERS

    def _build(self, passages: list[Evidence], model: str, *, is_small: bool) -> ChatRequest:
        """Without markers around the passages: whatever they tell the model to do, nothing else than what they say gets
        through the check, and a small model repeats markers.
        """
        said = COPY_INSTRUCTION if is_small else INSTRUCTION
        shown = "\n\n".join(f"# {each.where or each.title}\n{each.text}" for each in passages)
        node = msgspec.structs.replace(self, system=f"{self.system}\n\n{said}" if self.system else said, model=model)
        return node.build_chat([{"role": "user", "content": f"Passages:\n\n{shown}\n\nQuestion: {self.question}"}])
