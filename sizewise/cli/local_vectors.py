"""Vectors of texts by the embedding model on this machine, for commands that need no server."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from sizewise.catalog.loader import is_downloaded, local_cards, weights_path
from sizewise.handler import Request, discard_events
from sizewise.messages import EmbeddingRequest
from sizewise.principal import Principal
from sizewise.providers.local.embedding import MAX_TEXTS, LocalEmbeddingModel
from sizewise.settings.load import Settings

MAX_EMBEDDED_CHARS = 600
"""Of an input, for its vector: what an embedding model of 256 tokens takes."""


def local_embedding_model(found: Settings) -> LocalEmbeddingModel | None:
    """None if none is on this machine. The caller stops it."""
    for card in local_cards(found):
        if card.task == "embed" and card.weights is not None and is_downloaded(card.weights, found.cache_dir):
            return LocalEmbeddingModel(card, weights_path(card.weights, found.cache_dir), found.local.threads)
    return None


async def local_vectors(model: LocalEmbeddingModel, texts: Sequence[str]) -> Sequence[Sequence[float]]:
    found = list[Sequence[float]]()
    for start in range(0, len(texts), MAX_TEXTS):
        inputs = [text[:MAX_EMBEDDED_CHARS] for text in texts[start : start + MAX_TEXTS]]
        asked = EmbeddingRequest(model="", inputs=inputs, fields={})
        request = Request(asked, Principal(key_id="local"), "0" * 32, perf_counter())
        found.extend((await model(request, discard_events)).embeddings)
    return found
