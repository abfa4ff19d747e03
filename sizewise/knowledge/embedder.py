"""Embeds texts with the configured embedding model; each request passes the same layers as any other.

So data classes, budgets, records and key scopes apply to embeddings too.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from sizewise.data_class import DataClass, strictest
from sizewise.errors import (
    ConfigError,
    ContextLengthExceeded,
    ModelUnavailable,
    StorageError,
    UpstreamProtocolError,
    did_you_mean,
)
from sizewise.handler import Handler, Request, discard_events
from sizewise.knowledge.chunk import HEADING_TOKENS, TextChunk
from sizewise.knowledge.token_count import MAX_CHARS_PER_TOKEN, count_tokens
from sizewise.limits.middleware import INTERNAL_ENDPOINTS
from sizewise.messages import EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.providers.local.wordpiece_tokenizer import WordPieceTokenizer

BATCH_SIZE = 32
"""Texts per request: one or two seconds on a small machine, so that progress can be reported."""
DEFAULT_CONTEXT_TOKENS = 512  # for a model with an unknown window
SPECIAL_TOKENS = 8
"""Margin for tokens that a model adds around a text, and for differences between its count and ours."""
EmbeddingVector = tuple[float, ...]


class Embedder:
    """Thread-safe, except `embed`, which needs the event loop."""

    def __init__(self, handler: Handler, cards: Sequence[ModelCard], fetchable: Sequence[str]) -> None:
        """`fetchable`: embedding models that can be downloaded, for a hint."""
        self._handler = handler
        self._cards = {card.name: card for card in cards if card.task == "embed"}
        self._fetchable = fetchable
        self._tokenizer: WordPieceTokenizer | None = None
        self._lock = threading.Lock()

    def knows(self, model: str) -> bool:
        return model in self._cards

    def resolve_model(self, name: str) -> str:
        """`name`, or if empty the only embedding model, local ones first. Raises ModelUnavailable, ConfigError."""
        known = list(self._cards)
        if name:
            if name in self._cards:
                return name
            hint = did_you_mean(name, known) or f"known: {', '.join(known) or 'none'}"
            raise ModelUnavailable(f"there is no embedding model {name!r}", hint)
        here = [name for name, card in self._cards.items() if card.place == "process"] or known
        if len(here) == 1:
            return here[0]
        if not here:
            fetch = (
                f"sizewise models pull {self._fetchable[0]}, then sizewise up"
                if self._fetchable
                else "add one under [providers.NAME] in sizewise.toml"
            )
            raise ModelUnavailable("no embedding model is configured", f"to embed on this machine: {fetch}")
        hint = f'set `embedding_model = "{here[0]}"` in [knowledge.NAME] of sizewise.toml'
        raise ConfigError(f"several embedding models are configured: {', '.join(here)}", hint)

    def max_passage_tokens(self, model: str) -> int:
        """Maximum tokens of a passage, without the headings embedded with it."""
        return max(20, self.max_text_tokens(model) - HEADING_TOKENS)

    def max_text_tokens(self, model: str) -> int:
        """Maximum tokens of a text that is embedded as it is."""
        card = self._cards.get(model)
        return max(20, (card.context if card and card.context else DEFAULT_CONTEXT_TOKENS) - SPECIAL_TOKENS)

    def cut(self, text: str, max_tokens: int) -> str:
        """The beginning of `text` that has at most `max_tokens`."""
        if len(text.encode("utf-8", "surrogatepass")) <= max_tokens:
            return text
        text = text[: max_tokens * MAX_CHARS_PER_TOKEN]
        while (count := self.count_tokens(text)) > max_tokens:
            text = text[: max(1, len(text) * max_tokens // count)]
        return text

    def count_tokens(self, text: str) -> int:
        """Tokens by BERT's vocabulary: exact for the local model, close for others."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = WordPieceTokenizer()
            return count_tokens(self._tokenizer, text)

    def embedding_text(self, chunk: TextChunk, title: str) -> str:
        """The text to embed for a passage: its headings, cut to HEADING_TOKENS, and its text."""
        whole = chunk.text_with_headings(title)
        above = whole[: len(whole) - len(chunk.text)]
        while above.strip() and self.count_tokens(above) > HEADING_TOKENS:
            above = f"{above[: len(above) * 2 // 3].rstrip()}\n"
        return f"{above}{chunk.text}"

    async def embed(
        self,
        request: Request,
        model: str,
        texts: Sequence[str],
        data_class: DataClass | None,
        *,
        background: bool = False,
    ) -> list[EmbeddingVector]:
        """One vector per text. Caller and options come from `request`, but at least with `data_class`. `background`:
        the texts of queries go first. Raises the errors of the handler.
        """
        request = msgspec.structs.replace(request, background=background)
        found: list[EmbeddingVector] = []
        for start in range(0, len(texts), BATCH_SIZE):
            found += await self._embed_batch(request, model, texts[start : start + BATCH_SIZE], data_class)
        return found

    async def _embed_batch(
        self,
        request: Request,
        model: str,
        texts: Sequence[str],
        data_class: DataClass | None,
    ) -> list[EmbeddingVector]:
        """Halves the batch, then cuts the text, if the model rejects it as too long."""
        try:
            reply = await self._handler(_embedding_request(request, model, texts, data_class), discard_events)
        except ContextLengthExceeded:
            if len(texts) == 1:
                if len(texts[0]) < 8:
                    raise
                return await self._embed_batch(request, model, [texts[0][: len(texts[0]) * 2 // 3]], data_class)
            half = len(texts) // 2
            return [
                *await self._embed_batch(request, model, texts[:half], data_class),
                *await self._embed_batch(request, model, texts[half:], data_class),
            ]
        if len(reply.embeddings) != len(texts):
            told = f"{model!r} returned {len(reply.embeddings)} vectors for {len(texts)} texts"
            raise UpstreamProtocolError(told, "check that it is an embedding model")
        return list(reply.embeddings)


def _embedding_request(request: Request, model: str, texts: Sequence[str], data_class: DataClass | None) -> Request:
    inputs = [" ".join(text.split()) or "-" for text in texts]
    fields = {"model": Raw(msgspec.json.encode(model)), "input": Raw(msgspec.json.encode(inputs))}
    options = request.options
    classes = [each for each in (options.data_class, data_class) if each is not None]
    options = msgspec.structs.replace(
        options,
        policy=None,
        idempotency_key=None,
        session=None,
        data_class=strictest(*classes) if classes else None,
    )
    endpoint = request.endpoint if request.endpoint in INTERNAL_ENDPOINTS else "embeddings"
    return msgspec.structs.replace(
        request,
        payload=EmbeddingRequest(model, inputs, fields),
        options=options,
        endpoint=endpoint,
        scan=None,
        spotlighting=None,
    )


def check_dimension(vectors: Sequence[EmbeddingVector], dimension: int) -> int:
    """The dimension of `vectors`. Raises StorageError if they differ, or are not of `dimension` (0: any)."""
    lengths = {len(each) for each in vectors}
    if len(lengths) != 1 or (dimension and lengths != {dimension}):
        told = (
            f"the model's vectors have {sorted(lengths)} dimensions, but those of the knowledge base have {dimension}"
        )
        raise StorageError(told, "use another model, or embed all again: sizewise knowledge rebuild NAME --all")
    return lengths.pop()
