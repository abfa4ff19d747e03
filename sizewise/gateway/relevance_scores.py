"""Scoring methods of a rerank: a reranker, cosine of vectors, or a chat model; each is one request and reads its reply.

All scores are from 0 (irrelevant) to 1, except an upstream reranker's, which are as it reports them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody, UpstreamProtocolError
from sizewise.gateway.rerank_request import RerankCall
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply, RerankRequest
from sizewise.providers.wires.openai.request_response import read_request

MAX_CHAT_DOCUMENTS = 100
MAX_CHAT_SCORE = 100
SYSTEM_PROMPT = (
    "You score how well each document answers a query, with a whole number from 0 (irrelevant) to 100 (a full answer)."
    " Answer with a JSON object that has the score of each document under its name."
)

_encode = msgspec.json.Encoder().encode


class ScoringMethod(Struct, frozen=True):
    """`label`: what clients are told of it. `scores` reads one score per document; raises UpstreamProtocolError."""

    label: str
    payload: ChatRequest | EmbeddingRequest
    scores: Callable[[Reply], list[float]]


def by_reranker(call: RerankCall, texts: list[str]) -> ScoringMethod:
    inputs = [call.query, *texts]
    fields = {**call.extra, "model": Raw(_encode(call.model)), "input": Raw(_encode(inputs))}
    payload = RerankRequest(call.model, inputs, fields)
    return ScoringMethod("reranker", payload, lambda reply: [each[0] for each in reply.embeddings])


def by_vectors(call: RerankCall, query: str, texts: list[str]) -> ScoringMethod:
    inputs = [query, *texts]
    fields = {"model": Raw(_encode(call.model)), "input": Raw(_encode(inputs))}
    return ScoringMethod("cosine", EmbeddingRequest(call.model, inputs, fields), cosine_scores)


def by_chat(call: RerankCall, texts: list[str]) -> ScoringMethod:
    """Raises BadBody for more documents than a chat model can score at once."""
    if len(texts) > MAX_CHAT_DOCUMENTS:
        told = f"`documents` has {len(texts):,} documents, and a chat model scores at most {MAX_CHAT_DOCUMENTS} at once"
        raise BadBody(told, "send fewer, or name an embedding model or a reranker", param="documents")
    # Not random: a request that is repeated under an idempotency key must be the same.
    marks = ContentMarkers(hashlib.sha256("\0".join([call.query, *texts]).encode()).hexdigest()[:16])
    names = [f"document_{number}" for number in range(1, len(texts) + 1)]
    shown = "\n\n".join(marks.wrap(text, name) for name, text in zip(names, texts, strict=True))
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer"} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    body = {
        "model": call.model,
        "messages": [
            {"role": "system", "content": f"{SYSTEM_PROMPT} {marks.instruction}"},
            {"role": "user", "content": f"{shown}\n\nQuery: {call.query}"},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "relevance", "strict": True, "schema": schema},
        },
    }
    payload, _ = read_request(_encode(body), is_checked=True)
    return ScoringMethod("chat", payload, lambda reply: chat_scores(reply, names))


def cosine_scores(reply: Reply) -> list[float]:
    """(1 + cosine) / 2 of the first vector and each of the others."""
    query, *documents = reply.embeddings
    if not query or any(len(each) != len(query) for each in documents):
        raise UpstreamProtocolError("the vectors differ in length", "check that it is an embedding model")
    length = math.sqrt(_dot(query, query))
    scores = []
    for each in documents:
        scale = length * math.sqrt(_dot(each, each))
        scores.append(min(1.0, max(0.0, (1 + _dot(query, each) / scale) / 2)) if scale else 0.5)
    return scores


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(map(float.__mul__, one, other))


def chat_scores(reply: Reply, names: Sequence[str]) -> list[float]:
    try:
        said = msgspec.json.decode(reply.text, type=dict[str, float])
        return [min(1.0, max(0.0, said[name] / MAX_CHAT_SCORE)) for name in names]
    except (msgspec.DecodeError, KeyError) as error:
        hint = "name a stronger model, an embedding model, or a reranker"
        raise UpstreamProtocolError("the model did not score every document", hint) from error
