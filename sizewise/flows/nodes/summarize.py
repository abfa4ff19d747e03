"""Node that summarizes a text of any length, whole or in pieces, whichever is cheaper.

Both ways are routed as usual, with the node's model, policy and limits, so every call keeps the policy's target; the
cheaper way is used. The output says what was left out. It always ends: with a summary, or with an error that names the
next step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from time import perf_counter
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import ContextLengthExceeded, OutcomeUnknown, UpstreamTimeout
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.map_reduce import MapReduce, Progress, out_of_time, patiently
from sizewise.flows.model_node import Count, ModelNode
from sizewise.flows.node import CostEstimate, EstimateCost, NodeContext, ValidationContext, missing_dependency
from sizewise.flows.text_pieces import split_text
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import AttemptFinished, Event, RequestOptions, TextDelta
from sizewise.messages import ChatRequest, Reply
from sizewise.money import format_dollars

CHARS_PER_TOKEN = 4.0  # the router's estimate
WINDOW_FRACTION = 0.7
"""Share of the context window for a piece; the rest is for the answer and for pieces denser than the samples."""
SAMPLE_CHARS = 2_000
SAMPLES = 3
MIN_PIECE_TOKENS = 200
MAX_LOCAL_PIECE_TOKENS = 2_000
"""Of a piece for a model in this process: a CPU reads two short pieces sooner than a long one, and others wait less."""
DEFAULT_WINDOW = 8_192  # tokens, if the context window is unknown
DEFAULT_ANSWER = 400  # tokens of a note, without `max_tokens`
NOTE_SHARE = 3
"""A note is at most a third of a piece, so that each round of notes on notes has fewer."""
CONCURRENCY = 4
MOST_CRASHES = 20
"""Of the server during the same call, after which the summary fails."""
DEFAULT_PROMPT = "Summarize the text: what it says, with its figures and names, and nothing that it does not say."
PIECE_PROMPT = "This is piece {number} of {whole} of a longer text. Write down what in it matters for this: {prompt}"
JOIN_PROMPT = "These are notes on the {whole} pieces of one text, in their order. From them do this: {prompt}"


class PieceSize(Struct, frozen=True):
    """Tokens of a piece, and of a note on it; `chars_per_token` of this text, by the model's tokenizer or estimated."""

    tokens: int
    note_tokens: int
    chars_per_token: float
    concurrency: int

    @property
    def chars(self) -> int:
        return max(1, int(self.tokens * self.chars_per_token))


class SummarizeNode(ModelNode, frozen=True, kw_only=True):
    """Summarizes a text of any length, whole or in pieces, whichever is cheaper."""

    text: Annotated[str, Meta(description="Text, such as the output of a file node.")]
    prompt: Annotated[str, Meta(description="Instruction for the summary.")] = DEFAULT_PROMPT
    max_tokens: Annotated[
        Count | None, Meta(description="Maximum tokens of the answer, and of the notes on each piece.")
    ] = DEFAULT_ANSWER
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
        budget = context.remaining_cost()  # the same for all calls, so that a resumed run sends the same requests
        context = replace(context, remaining_cost=lambda: budget)
        # Derived from the key, so that a resumed run sends the same prompts and reuses the completed calls.
        marks = ContentMarkers(blake2b(context.idempotency_key.encode(), digest_size=8).hexdigest())
        progress, allowed_s = Progress(), self._seconds(context)
        try:
            async with asyncio.timeout(allowed_s):
                return await self._summarize(context, quote, marks, progress)
        except TimeoutError:
            raise out_of_time(progress, allowed_s or 0.0) from None

    def _seconds(self, context: NodeContext) -> float | None:
        """Seconds that the whole summary may take: of the node, and what is left of the run's; None: unlimited."""
        own, run = self.max_ms, context.request.options.max_latency_ms
        left = [] if own is None else [own / 1_000]
        left += [] if run is None else [max(0.001, run / 1_000 - (perf_counter() - context.request.started_at))]
        return min(left, default=None)

    async def _summarize(
        self, context: NodeContext, quote: EstimateCost, marks: ContentMarkers, progress: Progress
    ) -> Json:
        whole = self._build_chat(marks, self.prompt, self.text)
        one = await quote(context.build_request(whole, self.request_options()))
        fits = not one.reason and _has_room(one, self.max_tokens)
        size = await self._piece_size(context, quote, marks)
        pieces, left_out = split_text(self.text, size.chars, self.most_pieces)
        many = await self._cost_in_pieces(context, quote, marks, pieces, size)
        if fits and (len(pieces) == 1 or not _is_cheaper(many, one)):
            reply, reason = await self._whole(context, whole)
            if reply is not None:
                why = f"whole, by {one.model}: {_dollars(one.cost)} against {_dollars(many)} in {len(pieces)} pieces"
                return {"text": reply.text, "pieces": 1, "why": why, "left_out": "", "model": reply.model or one.model}
        else:
            reason = one.reason or ("" if fits else _no_room(one, self.max_tokens))
        why = f"in {len(pieces)} pieces: {_dollars(many)}"
        why += f"; no model can read it whole ({reason})" if reason else f" against {_dollars(one.cost)} whole"
        text, model = await self._in_pieces(context, quote, marks, pieces, size, progress)
        return {"text": text, "pieces": len(pieces), "why": why, "left_out": left_out, "model": model}

    async def _whole(self, context: NodeContext, chat: ChatRequest) -> tuple[Reply | None, str]:
        """The summary by one call, or why there is none: a window that was only estimated, or a model too slow."""
        sent = False

        async def send(event: Event) -> None:
            nonlocal sent
            sent = sent or isinstance(event, TextDelta)
            await context.send(event)

        async def ask(mark: str) -> Reply:
            return await context.dependencies.handler(context.build_request(chat, self.request_options()), send)

        try:
            return await patiently(ask), ""
        except (ContextLengthExceeded, UpstreamTimeout) as error:
            if sent:  # the client has the beginning of this answer
                raise
            return None, error.message

    async def _piece_size(self, context: NodeContext, quote: EstimateCost, marks: ContentMarkers) -> PieceSize:
        """By the window of the model that reads a short piece, and by the tokens that samples of the text have."""
        step = max(1, len(self.text) // SAMPLES)
        samples = [self.text[at : at + SAMPLE_CHARS] for at in range(0, len(self.text), step)][:SAMPLES] or [""]
        empty, *sampled = [
            await quote(
                context.build_request(self._build_chat(marks, self.prompt, each), self.request_options()), exact=True
            )
            for each in ("", *samples)
        ]
        used = [
            len(text) / max(1, each.prompt_tokens - empty.prompt_tokens)
            for text, each in zip(samples, sampled, strict=True)
            if each.counted and empty.counted
        ]
        window = empty.context_window or DEFAULT_WINDOW
        fixed = max(empty.prompt_tokens, len(PIECE_PROMPT + self.prompt) // int(CHARS_PER_TOKEN))
        answer = min(self.max_tokens or DEFAULT_ANSWER, window // NOTE_SHARE)
        tokens = max(MIN_PIECE_TOKENS, int((window - answer) * WINDOW_FRACTION) - fixed)
        if empty.is_local:
            tokens = min(tokens, MAX_LOCAL_PIECE_TOKENS)
        slots = empty.slots or (2 if empty.is_local else 2 * CONCURRENCY)
        return PieceSize(
            tokens=tokens,
            note_tokens=max(1, min(answer, tokens // NOTE_SHARE)),
            chars_per_token=min(used, default=CHARS_PER_TOKEN),
            concurrency=min(CONCURRENCY, max(1, slots // 2)),  # half of the slots stay free for others
        )

    async def _cost_in_pieces(
        self,
        context: NodeContext,
        quote: EstimateCost,
        marks: ContentMarkers,
        pieces: Sequence[str],
        size: PieceSize,
    ) -> int | None:
        """Expected pico-dollars of all calls for `pieces`; None if a price is unknown."""
        total: int | None = 0
        notes = "x" * int(min(size.tokens, len(pieces) * size.note_tokens) * CHARS_PER_TOKEN)
        for text, times in ((max(pieces, key=len), len(pieces)), (notes, 1)):
            chat = self._build_chat(marks, self.prompt, text)
            cost = (await quote(context.build_request(chat, self.request_options()))).cost
            total = None if cost is None or total is None else total + times * cost
        return total

    async def _in_pieces(
        self,
        context: NodeContext,
        quote: EstimateCost,
        marks: ContentMarkers,
        pieces: Sequence[str],
        size: PieceSize,
        progress: Progress,
    ) -> tuple[str, str]:
        """The summary, and the model that wrote it."""
        noting = msgspec.structs.replace(self, max_tokens=size.note_tokens)
        words = JOIN_PROMPT.format(whole=len(pieces), prompt=self.prompt)

        def chat(number: int, whole: int, text: str) -> ChatRequest:
            said = PIECE_PROMPT.format(number=number, whole=whole, prompt=self.prompt)
            return noting._build_chat(marks, said, text)

        async def ask(key: str, number: int, whole: int, text: str) -> str:
            its = chat(number, whole, text)

            async def send(options: RequestOptions) -> Reply:
                return await context.dependencies.handler(context.build_request(its, options), costs)

            return (await self._step(context, key, send)).text

        async def costs(event: Event) -> None:
            """Notes are not shown, but count."""
            if isinstance(event, AttemptFinished):
                await context.send(event)

        async def fits(text: str, final: bool) -> bool:
            said = self._build_chat(marks, words, text) if final else chat(len(pieces), len(pieces), text)
            seen = await quote(context.build_request(said, self.request_options()))
            return not seen.too_long and _has_room(seen, said.max_tokens)

        reading = MapReduce(
            ask=ask,
            fits=fits,
            most=size.chars,
            note=max(1, int(size.note_tokens * max(size.chars_per_token, CHARS_PER_TOKEN))),
            concurrency=size.concurrency,
            progress=progress,
        )
        notes = await reading.reduce(pieces)
        progress.known += 1
        said = self._build_chat(marks, words, "\n\n".join(notes))
        reply = await patiently(
            lambda mark: self._step(context, f"joined{mark}", lambda options: context.ask_model(said, options)),
        )
        return reply.text, reply.model

    async def _step(self, context: NodeContext, key: str, send: Callable[[RequestOptions], Awaitable[Reply]]) -> Reply:
        """The reply to the call `key`. When the node resumes after an interruption, a completed call is not repeated,
        and one that a crash of the server cut off is made again, as by an `ask` node.
        """
        for crashes in range(MOST_CRASHES):
            mark = f"{context.idempotency_key}:{key}{f'~{crashes}' if crashes else ''}"
            try:
                return await send(msgspec.structs.replace(self.request_options(), idempotency_key=mark))
            except OutcomeUnknown:
                if crashes == MOST_CRASHES - 1:
                    raise
        raise AssertionError("the last crash is raised")

    def _build_chat(self, marks: ContentMarkers, prompt: str, text: str) -> ChatRequest:
        system = f"{self.system}\n\n{marks.instruction}" if self.system else marks.instruction
        said = msgspec.structs.replace(self, system=system)
        return said.build_chat([{"role": "user", "content": f"{prompt}\n\n{marks.wrap(text)}"}])


def _has_room(seen: CostEstimate, answer: int | None) -> bool:
    """Whether the prompt and the longest answer fit the window; where it is unknown, the model will say."""
    return seen.context_window is None or seen.prompt_tokens + (answer or 0) <= seen.context_window


def _no_room(seen: CostEstimate, answer: int | None) -> str:
    kind = "has" if seen.counted else "has about"
    return (
        f"the prompt {kind} {seen.prompt_tokens:,} tokens and the answer {answer or 0:,}, "
        f"and the window of {seen.model} {seen.context_window:,}"
    )


def _is_cheaper(many: int | None, one: CostEstimate) -> bool:
    """An unknown price counts as more expensive than a known one."""
    if many is None:
        return False
    return one.cost is None or many < one.cost


def _dollars(cost: int | None) -> str:
    return "an unknown price" if cost is None else f"${format_dollars(cost)}"
