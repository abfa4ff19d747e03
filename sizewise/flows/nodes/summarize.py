"""Summarizes a text of any length: whole by a model whose window holds it, or piece by piece, whichever is cheaper.

Both ways are put to the router as it stands, with the node's model, policy and limits, so each question keeps the
policy's promise; of the two the cheaper is taken. What was left out is told with the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import TooLong
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.model_node import Asks, Count
from sizewise.flows.node import Given, Job, Quote, missing
from sizewise.guardrails.untrusted_content import Marked
from sizewise.handler import Wishes, quiet
from sizewise.knowledge.chunk import cut
from sizewise.knowledge.document import Document
from sizewise.knowledge.text_formats import read
from sizewise.messages import Chat
from sizewise.money import dollars

PER_TOKEN = 4  # characters, as the router counts
FULL = 0.7
"""Of a window that a piece takes, beside the answer: tokens are estimated."""
LEAST = 200  # tokens of a piece
USUAL = 8_192  # tokens of a window that nobody knows
AT_ONCE = 4
DEEPEST = 5  # summaries of summaries
ASKED = "Summarize the text: what it says, with its figures and names, and nothing that it does not say."
PIECE = "This is piece {number} of {whole} of a longer text. Write down what in it matters for this: {prompt}"
JOINED = "These are notes on the {whole} pieces of one text, in their order. From them do this: {prompt}"


class Way(Struct, frozen=True):
    """`cost` None: unknown."""

    pieces: tuple[str, ...]
    cost: int | None


class Summarize(Asks, frozen=True, kw_only=True):
    """Summarizes a text of any length, in one piece or in many, whichever is cheaper."""

    text: Annotated[str, Meta(description="The text, such as a file node's.")]
    prompt: Annotated[str, Meta(description="What is wanted of it.")] = ASKED
    max_tokens: Annotated[Count | None, Meta(description="The longest answer, and the longest note on a piece.")] = 400
    most_pieces: Annotated[int, Meta(ge=1, le=2_000, description="What lies behind so many pieces is left out.")] = 200

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(
            text=types.TEXT, pieces=types.INTEGER, why=types.TEXT, left_out=types.TEXT, model=types.TEXT
        )  # fmt: skip

    @classmethod
    def speaks(cls, given: Given) -> str:
        return "text"

    async def run(self, job: Job) -> Json:
        quote = job.means.quote
        if quote is None:
            raise missing("router that quotes prices", "This is a fault of the server's own: tell us.")
        # The same after a break, or what was asked before would be another question.
        marks = Marked(blake2b(job.key.encode(), digest_size=8).hexdigest())
        whole = self._asking(marks, self.prompt, self.text)
        one = quote(job.asking(whole, self.wishes()))
        window = quote(job.asking(self._asking(marks, self.prompt, "x"), self.wishes())).window or USUAL
        most = max(LEAST, int((window - (self.max_tokens or 0)) * FULL) - len(self.prompt) // PER_TOKEN)
        pieces, left_out = self._cut(most)
        many = self._many(job, marks, pieces, most)
        if not one.objection and (len(pieces) == 1 or not _cheaper(many, one)):
            reply = await job.answer(whole, self.wishes())
            why = f"whole, by {one.model}: {_dollars(one.cost)} against {_dollars(many.cost)} in {len(pieces)} pieces"
            return {"text": reply.text, "pieces": 1, "why": why, "left_out": "", "model": reply.model or one.model}
        why = f"in {len(pieces)} pieces: {_dollars(many.cost)} against "
        why += f"nobody who can read it whole ({one.objection})" if one.objection else f"{_dollars(one.cost)} whole"
        notes = await self._notes(job, marks, pieces)
        for _ in range(DEEPEST):
            joined = "\n\n".join(notes)
            if len(joined) // PER_TOKEN <= most or len(notes) == 1:
                break
            notes = await self._notes(job, marks, _packed(notes, most))
        said = self._asking(marks, JOINED.format(whole=len(pieces), prompt=self.prompt), "\n\n".join(notes))
        reply = await job.answer(said, self._once("joined", job))
        return {"text": reply.text, "pieces": len(pieces), "why": why, "left_out": left_out, "model": reply.model}

    def _cut(self, most: int) -> tuple[list[str], str]:
        """Pieces along headings and sentences, and in words what is in none of them. Raises TooLong for no words."""
        document: Document = read("markdown", self.text.encode("utf-8", "replace"), "text")
        cuts, text, spans = cut(document, _tokens, most, 0), document.text, list[tuple[int, int]]()
        for each in cuts:
            if spans and (each.end - spans[-1][0]) // PER_TOKEN <= most:
                spans[-1] = spans[-1][0], each.end
            else:
                start = each.start if spans else 0  # the heading above the first one too
                spans.append((max(start, spans[-1][1]) if spans else start, each.end))
        if not spans:
            raise TooLong("there are no words in the text", "give one with words")
        kept = spans[: self.most_pieces]
        left = "" if len(kept) == len(spans) else (
            f"{len(text) - kept[-1][1]:,} of {len(text):,} characters, from character {kept[-1][1]:,} on: "
            f"they lie behind the first {self.most_pieces:,} pieces"
        )  # fmt: skip
        return [text[start:end] for start, end in kept], left

    def _many(self, job: Job, marks: Marked, pieces: Sequence[str], most: int) -> Way:
        """What all the questions of this way are expected to cost."""
        quote = job.means.quote
        assert quote is not None
        total: int | None = 0
        notes = "x" * (min(most, len(pieces) * (self.max_tokens or LEAST)) * PER_TOKEN)
        for text, times in ((max(pieces, key=len), len(pieces)), (notes, 1)):
            cost = quote(job.asking(self._asking(marks, self.prompt, text), self.wishes())).cost
            total = None if cost is None or total is None else total + times * cost
        return Way(tuple(pieces), total)

    async def _notes(self, job: Job, marks: Marked, pieces: Sequence[str]) -> list[str]:
        turn = asyncio.Semaphore(AT_ONCE)

        async def note(number: int, piece: str) -> str:
            said = PIECE.format(number=number, whole=len(pieces), prompt=self.prompt)
            async with turn:
                ask = job.asking(self._asking(marks, said, piece), self._once(f"{len(pieces)}.{number}", job))
                reply = await job.means.answer(ask, quiet)
            return reply.text

        tasks = [asyncio.create_task(note(number, piece)) for number, piece in enumerate(pieces, 1)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:  # where one fails, nobody waits for the others
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _once(self, mark: str, job: Job) -> Wishes:
        """What was paid for is not paid again where the node is taken up after a break."""
        return msgspec.structs.replace(self.wishes(), idempotency_key=f"{job.key}:{mark}")

    def _asking(self, marks: Marked, prompt: str, text: str) -> Chat:
        """The text is data that others wrote."""
        system = f"{self.system}\n\n{marks.rule}" if self.system else marks.rule
        said = msgspec.structs.replace(self, system=system)
        return said.chat([{"role": "user", "content": f"{prompt}\n\n{marks.text(text)}"}])


def _tokens(text: str) -> int:
    return -(-len(text) // PER_TOKEN)


def _packed(notes: Sequence[str], most: int) -> list[str]:
    """Notes together, as many as fit."""
    found = [notes[0]]
    for each in notes[1:]:
        if (len(found[-1]) + len(each)) // PER_TOKEN <= most:
            found[-1] = f"{found[-1]}\n\n{each}"
        else:
            found.append(each)
    return found


def _cheaper(many: Way, one: Quote) -> bool:
    """What nobody knows the price of is dearer than what somebody does."""
    if many.cost is None:
        return False
    return one.cost is None or many.cost < one.cost


def _dollars(cost: int | None) -> str:
    return "an unknown price" if cost is None else f"${dollars(cost)}"
