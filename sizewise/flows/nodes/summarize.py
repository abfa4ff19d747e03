"""Node that summarizes a text of any length, whole or in pieces, whichever is cheaper.

Both ways are routed as usual, with the node's model, policy and limits, so every call keeps the policy's target; the
cheaper way is used. The output says what was left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import ContextLengthExceeded
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import Count, ModelNode
from sizewise.flows.node import CostEstimate, NodeContext, ValidationContext, missing_dependency
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import RequestOptions, discard_events
from sizewise.knowledge.chunk import chunk_document
from sizewise.knowledge.document import Document
from sizewise.knowledge.text_formats import read
from sizewise.messages import ChatRequest
from sizewise.money import format_dollars

CHARS_PER_TOKEN = 4  # the router's estimate
WINDOW_FRACTION = 0.7
"""Share of the context window for a piece; the rest is for the answer, since tokens are estimated."""
MIN_PIECE_TOKENS = 200
DEFAULT_WINDOW = 8_192  # tokens, if the context window is unknown
CONCURRENCY = 4
MAX_DEPTH = 5  # summaries of summaries
DEFAULT_PROMPT = "Summarize the text: what it says, with its figures and names, and nothing that it does not say."
PIECE_PROMPT = "This is piece {number} of {whole} of a longer text. Write down what in it matters for this: {prompt}"
JOIN_PROMPT = "These are notes on the {whole} pieces of one text, in their order. From them do this: {prompt}"


class PiecewisePlan(Struct, frozen=True):
    """`cost` None: unknown."""

    pieces: tuple[str, ...]
    cost: int | None


class SummarizeNode(ModelNode, frozen=True, kw_only=True):
    """Summarizes a text of any length, whole or in pieces, whichever is cheaper."""

    text: Annotated[str, Meta(description="Text, such as the output of a file node.")]
    prompt: Annotated[str, Meta(description="Instruction for the summary.")] = DEFAULT_PROMPT
    max_tokens: Annotated[
        Count | None, Meta(description="Maximum tokens of the answer, and of the notes on each piece.")
    ] = 400
    most_pieces: Annotated[int, Meta(ge=1, le=2_000, description="Maximum pieces; text beyond them is left out.")] = 200

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            text=types.TEXT, pieces=types.INTEGER, why=types.TEXT, left_out=types.TEXT, model=types.TEXT,
        )  # fmt: skip

    @classmethod
    def streaming_field(cls, context: ValidationContext) -> str:
        return "text"

    async def run(self, context: NodeContext) -> Json:
        quote = context.dependencies.estimate_cost
        if quote is None:
            raise missing_dependency("router with prices", "This is a bug in the server; please report it.")
        # Derived from the key, so that a resumed run sends the same prompts and reuses the completed calls.
        marks = ContentMarkers(blake2b(context.idempotency_key.encode(), digest_size=8).hexdigest())
        whole = self._build_chat(marks, self.prompt, self.text)
        one = quote(context.build_request(whole, self.request_options()))
        window = (
            quote(
                context.build_request(self._build_chat(marks, self.prompt, "x"), self.request_options())
            ).context_window
            or DEFAULT_WINDOW
        )
        most = max(
            MIN_PIECE_TOKENS,
            int((window - (self.max_tokens or 0)) * WINDOW_FRACTION) - len(self.prompt) // CHARS_PER_TOKEN,
        )
        pieces, left_out = self._split(most)
        many = self._piecewise_plan(context, marks, pieces, most)
        if not one.reason and (len(pieces) == 1 or not _is_cheaper(many, one)):
            reply = await context.ask_model(whole, self.request_options())
            why = f"whole, by {one.model}: {_dollars(one.cost)} against {_dollars(many.cost)} in {len(pieces)} pieces"
            return {"text": reply.text, "pieces": 1, "why": why, "left_out": "", "model": reply.model or one.model}
        why = f"in {len(pieces)} pieces: {_dollars(many.cost)}"
        why += f"; no model can read it whole ({one.reason})" if one.reason else f" against {_dollars(one.cost)} whole"
        notes = await self._summarize_pieces(context, marks, pieces)
        for _ in range(MAX_DEPTH):
            joined = "\n\n".join(notes)
            if len(joined) // CHARS_PER_TOKEN <= most or len(notes) == 1:
                break
            notes = await self._summarize_pieces(context, marks, _pack(notes, most))
        said = self._build_chat(marks, JOIN_PROMPT.format(whole=len(pieces), prompt=self.prompt), "\n\n".join(notes))
        reply = await context.ask_model(said, self._step_options("joined", context))
        return {"text": reply.text, "pieces": len(pieces), "why": why, "left_out": left_out, "model": reply.model}

    def _split(self, most: int) -> tuple[list[str], str]:
        """Pieces along headings and sentences, and a description of what was left out. Raises ContextLengthExceeded if
        there is no text.
        """
        document: Document = read("markdown", self.text.encode("utf-8", "replace"), "text")
        cuts, text, spans = chunk_document(document, _tokens, most, 0), document.text, list[tuple[int, int]]()
        for each in cuts:
            if spans and (each.end - spans[-1][0]) // CHARS_PER_TOKEN <= most:
                spans[-1] = spans[-1][0], each.end
            else:
                start = each.start if spans else 0  # includes the heading above the first piece
                spans.append((max(start, spans[-1][1]) if spans else start, each.end))
        if not spans:
            raise ContextLengthExceeded("the text is empty", "provide a text that contains words")
        kept = spans[: self.most_pieces]
        left = "" if len(kept) == len(spans) else (
            f"{len(text) - kept[-1][1]:,} of {len(text):,} characters, from character {kept[-1][1]:,} on: "
            f"beyond the first {self.most_pieces:,} pieces"
        )  # fmt: skip
        return [text[start:end] for start, end in kept], left

    def _piecewise_plan(
        self, context: NodeContext, marks: ContentMarkers, pieces: Sequence[str], most: int
    ) -> PiecewisePlan:
        """Expected cost of all calls for `pieces`."""
        quote = context.dependencies.estimate_cost
        assert quote is not None
        total: int | None = 0
        notes = "x" * (min(most, len(pieces) * (self.max_tokens or MIN_PIECE_TOKENS)) * CHARS_PER_TOKEN)
        for text, times in ((max(pieces, key=len), len(pieces)), (notes, 1)):
            cost = quote(context.build_request(self._build_chat(marks, self.prompt, text), self.request_options())).cost
            total = None if cost is None or total is None else total + times * cost
        return PiecewisePlan(tuple(pieces), total)

    async def _summarize_pieces(self, context: NodeContext, marks: ContentMarkers, pieces: Sequence[str]) -> list[str]:
        turn = asyncio.Semaphore(CONCURRENCY)

        async def note(number: int, piece: str) -> str:
            said = PIECE_PROMPT.format(number=number, whole=len(pieces), prompt=self.prompt)
            async with turn:
                request = context.build_request(
                    self._build_chat(marks, said, piece),
                    self._step_options(f"{len(pieces)}.{number}", context),
                )
                reply = await context.dependencies.handler(request, discard_events)
            return reply.text

        tasks = [asyncio.create_task(note(number, piece)) for number, piece in enumerate(pieces, 1)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:  # if one fails, cancel the others
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _step_options(self, mark: str, context: NodeContext) -> RequestOptions:
        """A completed call is not repeated when the node resumes after an interruption."""
        return msgspec.structs.replace(self.request_options(), idempotency_key=f"{context.idempotency_key}:{mark}")

    def _build_chat(self, marks: ContentMarkers, prompt: str, text: str) -> ChatRequest:
        system = f"{self.system}\n\n{marks.instruction}" if self.system else marks.instruction
        said = msgspec.structs.replace(self, system=system)
        return said.build_chat([{"role": "user", "content": f"{prompt}\n\n{marks.wrap(text)}"}])


def _tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def _pack(notes: Sequence[str], most: int) -> list[str]:
    """Joins consecutive notes into texts of at most `most` tokens."""
    found = [notes[0]]
    for each in notes[1:]:
        if (len(found[-1]) + len(each)) // CHARS_PER_TOKEN <= most:
            found[-1] = f"{found[-1]}\n\n{each}"
        else:
            found.append(each)
    return found


def _is_cheaper(many: PiecewisePlan, one: CostEstimate) -> bool:
    """An unknown price counts as more expensive than a known one."""
    if many.cost is None:
        return False
    return one.cost is None or many.cost < one.cost


def _dollars(cost: int | None) -> str:
    return "an unknown price" if cost is None else f"${format_dollars(cost)}"
